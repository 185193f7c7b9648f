"""Derived features, facts and `other` in a model's file: what is valid, and each fault with its key."""

import re
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from lifecycle.features.derived_columns import derived_columns
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Deciding, Feature
from tests.harness.toy_model import SPEC, spec_with

UTILISATION = {"name": "utilisation", "source": "derived", "from": "bill / limit_bal", "is_nullable": True}
FIELDS = [
    {"name": "bill"},
    {"name": "kind", "dtype": "category", "categories": ["gold", "other"], "other": "other"},
]
FACTS = [{"name": "limit_bal", "minimum": 0}]


def with_features(*features: dict[str, Any], facts: Any = FACTS, **others: Any) -> RiskModelSpec:
    return spec_with(features=[*FIELDS, *features], facts=facts, reason_texts=None, **others)


def test_a_derived_feature_becomes_a_tree_and_a_column() -> None:
    spec = with_features(UTILISATION)
    (utilisation,) = [feature for feature in spec.contract_features if feature.source == "derived"]
    assert msgspec.to_builtins(utilisation)["derivation"]["sql"] == "bill / limit_bal"
    assert [field.name for field in spec.request_fields] == ["bill", "kind", "limit_bal"]
    assert list(derived_columns(spec)) == ["utilisation"]
    assert spec.with_profile("none") == spec


def test_a_profile_keeps_derived_features() -> None:
    spec = with_features(UTILISATION, profiles={"demo": {"gates": {"minimum_rows": 7}}}).with_profile("demo")
    assert (spec.gates.minimum_rows, spec.features[2].expression) == (7, "bill / limit_bal")


def test_a_file_without_derived_features_is_as_before() -> None:
    spec = spec_with()
    assert not spec.has_derived_features
    assert spec.contract_facts == ()
    assert all(feature.derivation is msgspec.UNSET for feature in spec.contract_features)


def test_the_marts_own_column_of_the_time_is_named() -> None:
    night = {"name": "is_night", "dtype": "int", "source": "derived", "from": "extract(hour from seen_at)"}
    examples = {"mart": SPEC["mart"], "columns": {"occurred_at": "seen_at"}}
    document = {key: value for key, value in SPEC.items() if key != "mart"}
    document |= {"features": [*FIELDS, night], "reason_texts": None, "examples": examples}
    spec = RiskModelSpec.model_validate(document)
    assert "extract(hour from seen_at)" in derived_columns(spec)["is_night"]


FROM = "features.2.from"
SUM = {**UTILISATION, "from": "bill + bill"}
OTHER = {"name": "k", "dtype": "category", "categories": ["a"], "other": "b"}


@pytest.mark.parametrize(
    ("features", "facts", "message", "key"),
    [
        ([{**UTILISATION, "from": "bill / salary"}], FACTS, "got 'salary'; the fields are", FROM),
        ([{**UTILISATION, "from": "bill / limit_bat"}], FACTS, "did you mean limit_bal?", FROM),
        ([{**UTILISATION, "from": "sum(bill)"}], [], "got `sum`", FROM),
        ([{**UTILISATION, "from": "bill / customer_id"}], [], "got 'customer_id', the entity", FROM),
        (
            [{**UTILISATION, "from": "bill / transaction_id"}],
            [],
            "'transaction_id', the example's id",
            FROM,
        ),
        (
            [{**UTILISATION, "from": "case when reported_at = 1 then bill end"}],
            [],
            "got 'reported_at', the label, which is known only later",
            FROM,
        ),
        (
            [UTILISATION, {**UTILISATION, "name": "twice", "from": "utilisation * 2"}],
            FACTS,
            "got 'utilisation', which is derived; write out its expression",
            "features.3.from",
        ),
        ([{**UTILISATION, "from": "bill > 1"}], [], "got one that gives a condition", FROM),
        ([{**UTILISATION, "from": "kind"}], [], "got one that gives a text", FROM),
        (
            [{**UTILISATION, "from": "bill + kind"}],
            [],
            "Expected numbers for `add`, got number, text",
            FROM,
        ),
        ([{**UTILISATION, "from": "extract(hour from bill)"}], [], "Expected times for `hour`", FROM),
        ([{"name": "x", "source": "derived"}], [], "Expected an expression of a feature with source derived", "from"),
        ([{"name": "x", "from": "bill"}], [], "got one with source request", "from"),
        ([], FACTS, "Expected a derived feature that reads the fact 'limit_bal', got none", "facts.0.name"),
        (
            [{**UTILISATION, "from": "bill + bill"}],
            [{"name": "customer_id"}],
            "got 'customer_id', the entity",
            "facts.0",
        ),
        ([{**UTILISATION, "from": "bill + score"}], [{"name": "score"}], "Expected a name other than", "facts.0.name"),
        ([UTILISATION], [*FACTS, *FACTS], "got 'limit_bal' again", "facts.1.name"),
        ([UTILISATION], [{**FACTS[0], "source": "derived"}], "Extra inputs are not permitted", "source"),
        (
            [{"name": "k", "dtype": "category", "categories": ["a"], "other": "b"}],
            [],
            "categories ['a'], got 'b'",
            "other",
        ),
        ([{"name": "n", "other": "b"}], [], "Expected no `other` of a feature of dtype float", "features.2.other"),
    ],
)
def test_a_fault_names_its_key(features: list[Any], facts: list[Any], message: str, key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        with_features(*features, facts=facts)
    assert message in str(refused.value)
    assert re.search(key.replace(".", r"\."), str(refused.value))


def test_a_deciding_file_of_a_derived_model_is_of_the_version_that_has_it() -> None:
    from serving.contract.derivation import deciding_version

    derived = with_features(UTILISATION)
    assert deciding_version(derived.contract_features, derived.contract_facts) == 2
    assert deciding_version(spec_with().contract_features, ()) == 1
    assert Deciding.__struct_fields__[-1] == "facts"
    assert deciding_version((Feature(name="k", dtype="category", categories=("a",), other="a"),), ()) == 2
