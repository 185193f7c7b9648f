"""What docs/features.md says is allowed is what the parser accepts."""

import re

import yaml

from lifecycle.features.derived_columns import derived_columns
from lifecycle.settings.platform import PROJECT_ROOT
from lifecycle.spec.derived import FUNCTIONS, parse
from serving.contract.expressions import DATE_PARTS, DEEPEST, MOST_NODES
from tests.harness.metric_samples import NAMES
from tests.harness.toy_model import spec_with

TEXT = (PROJECT_ROOT / "docs" / "features.md").read_text()


def row(name: str) -> str:
    (found,) = re.findall(rf"^\| {name} \| (.*) \|$", TEXT, re.MULTILINE)
    return str(found)


def test_the_functions_and_date_parts_are_those_of_the_parser() -> None:
    assert {*re.findall(r"`(\w+)`", row("functions")), "extract"} == set(FUNCTIONS)
    assert set(re.findall(r"`(?:extract\()?(\w+)", row("date parts"))) == set(DATE_PARTS)


def test_the_limits_are_those_of_the_parser() -> None:
    assert f"at most {DEEPEST} levels and {MOST_NODES} terms" in TEXT


def test_the_example_is_a_model() -> None:
    (document,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    spec = spec_with(**yaml.safe_load(document), reason_texts=None)
    assert list(derived_columns(spec)) == ["utilisation"]
    assert [field.name for field in spec.request_fields] == ["bill_1", "education", "limit_bal"]


def test_what_is_allowed_parses() -> None:
    for operator in re.findall(r"\S+", re.findall(r"`([^`]*>=)`", row("comparison"))[0]):
        assert parse(f"case when a {operator} 1 then 1 end")
    for part in DATE_PARTS:
        assert parse(f"extract({part} from occurred_at)")


def test_the_metrics_exist() -> None:
    assert set(re.findall(r"`(serving_\w+)`", TEXT)) <= NAMES
