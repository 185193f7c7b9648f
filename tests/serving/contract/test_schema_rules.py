from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.artefacts.bundle import read_bundle
from serving.contract.documents import ContractError, Feature
from serving.contract.schema_rules import RESERVED_NAMES, schema_violations
from tests.harness import small_models
from tests.harness.small_models import SCHEMA, SmallStore


def test_a_schema_that_requests_can_carry_has_no_violation() -> None:
    assert list(schema_violations(SCHEMA)) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Amount EUR",
        "1a",
        "a.b",
        "_a",
        "größe",
        "a\n",
        "a" * 64,
        "__post_init__",
        *sorted(RESERVED_NAMES),
        "Features",
    ],
)
def test_a_name_that_a_protocol_cannot_carry_is_refused(name: str) -> None:
    (violation,) = schema_violations([Feature(name=name, dtype="float")])
    assert (violation.key, repr(name) in violation.message) == ("features.0.name", True)


@pytest.mark.parametrize("name", ["amount", "AMOUNT", "a1_b", "class", "a" * 63])
def test_other_names_are_accepted(name: str) -> None:
    assert list(schema_violations([Feature(name=name, dtype="float")])) == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"dtype": "category"}, "categories"),
        ({"dtype": "category", "categories": ("",)}, "categories"),
        ({"dtype": "category", "categories": ("a", "b", "a")}, "categories"),
        ({"dtype": "category", "categories": ("a",), "minimum": 0.0}, "minimum"),
        ({"dtype": "float", "categories": ("a",)}, "categories"),
        ({"dtype": "float", "minimum": 2.0, "maximum": 1.0}, "maximum"),
        ({"dtype": "int", "minimum": 0.2, "maximum": 0.8}, "maximum"),
        ({"dtype": "float", "maximum": float("nan")}, "maximum"),
    ],
)
def test_a_domain_without_a_value_that_can_be_sent_is_refused(changes: dict[str, Any], key: str) -> None:
    assert [each.key for each in schema_violations([Feature(name="a", **changes)])] == [f"features.0.{key}"]


def test_names_that_differ_in_case_only_are_refused() -> None:
    schema = [Feature(name="amount", dtype="float"), Feature(name="Amount", dtype="float")]
    assert [each.key for each in schema_violations(schema)] == ["features.1.name"]


def test_a_bundle_with_such_a_feature_is_refused_with_file_and_key(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = (msgspec.structs.replace(SCHEMA[0], name="Amount EUR"), *SCHEMA[1:])
    monkeypatch.setattr(small_models, "SCHEMA", schema)
    folder: Path = store.settings.release_store / "bundles" / store.seal(1)
    expected = rf"got 'Amount EUR' - at `features\.0\.name` in bundle {folder.name}/deciding\.json"
    with pytest.raises(ContractError, match=expected):
        read_bundle(folder, store.keys.public_keys)
