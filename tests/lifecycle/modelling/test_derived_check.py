"""Training learns a derived feature only as the server computes it, and a category only as it is declared."""

import datetime as dt
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.derived_check import check_derived
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import GoldenRow
from tests.harness.toy_model import AS_OF, SPEC, card_table, spec_with

WEEKEND = "case when extract(isodow from occurred_at) >= 6 then 1 else 0 end"
LIMIT = "limit_bal"


def changed_spec(**changes: dict[str, Any]) -> RiskModelSpec:
    """The toy model with a derived flag and a derived ratio, and with changes of features by name."""
    features = [dict(feature) for feature in SPEC["features"]]
    features[1] |= {"source": "derived", "from": WEEKEND}
    features.append(
        {
            "name": "use",
            "source": "derived",
            "from": "amount / limit_bal",
            "is_nullable": True,
            "reason_group": "amount",
        }
    )
    return spec_with(
        features=[feature | changes.get(feature["name"], {}) for feature in features],
        facts=[{"name": LIMIT, "minimum": 0}],
    )


def table() -> pa.Table:
    cards = card_table(3000)
    generator = np.random.default_rng(3)
    limits = np.where(generator.random(3000) < 0.1, 0.0, generator.integers(1, 9000, 3000) / 7)
    amounts = np.array([float(amount) for amount in cards.column("amount").to_pylist()])
    used = np.divide(amounts, limits, out=np.full(3000, np.nan), where=limits > 0)
    return cards.append_column(LIMIT, pa.array(limits)).append_column("use", pa.array(used, mask=np.isnan(used)))


def replaced(cards: pa.Table, name: str, values: Any) -> pa.Table:
    return cards.set_column(cards.column_names.index(name), name, pa.array(values))


@pytest.fixture(scope="module")
def trained() -> Trained:
    spec = changed_spec()
    return train(spec, examples_from_table(table(), spec), AS_OF)


def test_a_mart_with_the_expressions_is_trained(trained: Trained) -> None:
    assert trained.deciding.schema_version == 2
    assert [fact.name for fact in trained.deciding.facts or ()] == [LIMIT]


def test_golden_rows_derive_what_they_hold(trained: Trained) -> None:
    for row in trained.golden:
        assert isinstance(row.occurred_at, dt.datetime)
        assert row.features["is_weekend"] == int(row.occurred_at.isoweekday() >= 6)
        assert row.features["use"] == used(row)
    assert {row.features["is_weekend"] for row in trained.golden} == {0, 1}
    assert {row.features["use"] is None for row in trained.golden} == {True, False}


def used(row: GoldenRow) -> float | None:
    assert isinstance(row.facts, dict)
    limit, amount = row.facts[LIMIT], row.features["amount"]
    assert isinstance(limit, float)
    assert isinstance(amount, float)
    return amount / limit if limit else None


def test_golden_rows_without_derived_features_are_as_before(toy_golden: GoldenRow) -> None:
    assert (toy_golden.occurred_at, toy_golden.facts) == (msgspec.UNSET, msgspec.UNSET)


@pytest.fixture
def toy_golden() -> GoldenRow:
    spec = spec_with()
    return train(spec, examples_from_table(card_table(3000), spec), AS_OF).golden[0]


@pytest.mark.parametrize("spoiled", ["flag", "last bit", "null", "value for null"])
def test_a_mart_with_another_expression_is_refused_with_rows_and_remedy(spoiled: str) -> None:
    cards, spec = table(), changed_spec()
    use, weekend = cards.column("use").to_pylist(), cards.column("is_weekend").to_pylist()
    at = next(row for row, value in enumerate(use) if (value is None) == (spoiled == "value for null"))
    name, values = ("is_weekend", weekend) if spoiled == "flag" else ("use", use)
    values[at] = {
        "flag": 1 - weekend[at], "null": None, "value for null": 1.0, "last bit": np.nextafter(use[at] or 1.0, 0.0),
    }[spoiled]  # fmt: skip
    examples = examples_from_table(replaced(cards, name, values), spec)
    message = (
        rf"Expected the values that '{name}' has by its expression, got 1 others in 3000 rows, first at rows \[{at}\]; "
        "let the mart's column be the macro `derived`, and build with `lifecycle features build --full`"
    )
    with pytest.raises(LifecycleError, match=message):
        check_derived(spec, examples)


def test_a_training_set_of_before_is_read_but_not_trained_on() -> None:
    spec = changed_spec()
    examples = examples_from_table(table().drop_columns([LIMIT]), spec)
    with pytest.raises(LifecycleError, match=r"Expected the facts \['limit_bal'\], got a training set that was frozen"):
        train(spec, examples, AS_OF)


def test_an_unseen_category_is_other_where_it_is_declared() -> None:
    cards = table()
    unseen = ["a secret", *cards.column("segment").to_pylist()[1:]]
    spec = changed_spec(segment={"other": "never"})
    examples = examples_from_table(replaced(cards, "segment", unseen), spec)
    never = SPEC["features"][2]["categories"].index("never")
    assert examples.features[0, 2] == never
    check_derived(spec, examples)
    with pytest.raises(LifecycleError) as refused:
        examples_from_table(replaced(cards, "segment", unseen), changed_spec())
    assert "list it, or declare `other`" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_null_category_is_not_other() -> None:
    cards = replaced(table(), "segment", [None, *table().column("segment").to_pylist()[1:]])
    with pytest.raises(LifecycleError, match="Expected no null"):
        examples_from_table(cards, changed_spec(segment={"other": "never"}))
