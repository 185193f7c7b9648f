import datetime as dt
from decimal import Decimal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.modelling.evaluation import Interval, Reviewed, evaluate
from lifecycle.modelling.training_set import Examples
from lifecycle.monitoring.live_performance import outcomes_and_predictions, own_answers, performance_verdict
from lifecycle.monitoring.traffic import feature_columns
from lifecycle.spec.decision import CapacitySpec, DecisionSpec
from lifecycle.spec.risk_model import RiskModelSpec

FIRST = dt.datetime.fromisoformat("2024-01-01T10:00")


def decisions() -> pa.Table:
    rows = [[12.5, 0, "gold", None], [3, 1, "basic", 0.25]]
    return pa.table(
        {
            "occurred_at": pa.array([FIRST, FIRST + dt.timedelta(hours=1)], pa.timestamp("us")),
            "entity": ["k1", "k2"],
            "amount": pa.array([Decimal("12.50"), Decimal("3.00")], pa.decimal128(12, 2)),
            "is_positive": [True, False],
            "margin": [2.0, -3.0],
            "score": [0.9, 0.05],
            "features": [msgspec.json.encode(row).decode() for row in rows],
        }
    )


def test_recorded_rows_become_the_columns_that_the_model_was_trained_on(
    spec: RiskModelSpec, examples: Examples
) -> None:
    columns = feature_columns(decisions(), spec)
    assert tuple(columns) == examples.feature_names
    table = np.column_stack(list(columns.values()))
    np.testing.assert_array_equal(table, [[12.5, 0.0, 1.0, np.nan], [3.0, 1.0, 0.0, 0.25]])


def test_decisions_are_evaluated_like_a_holdout() -> None:
    outcomes, predictions = outcomes_and_predictions(decisions())
    assert outcomes.is_positive.tolist() == [True, False]
    assert outcomes.amount is not None
    assert outcomes.amount.tolist() == [12.5, 3.0]
    evaluation = evaluate(outcomes, predictions, Reviewed(capacity=1), draws=0)
    assert evaluation.metrics["recall_at_capacity"].value == 1.0
    assert np.isnan(evaluation.metrics["recall_at_capacity"].low)


@pytest.mark.parametrize(("capacity", "has_verdict"), [(10, False), (9, True)])
def test_recall_gives_no_verdict_where_people_could_look_at_every_card(
    spec: RiskModelSpec, capacity: int, has_verdict: bool
) -> None:
    """Ten entities a day over a week, the positives among the lowest scores: with the capacity for all, recall is 1."""
    cards, days = 10, 7
    occurred = [FIRST + dt.timedelta(days=day) for day in range(days) for _ in range(cards)]
    is_positive = [card == 0 for _ in range(days) for card in range(cards)]
    table = pa.table(
        {
            "occurred_at": pa.array(occurred, pa.timestamp("us")),
            "entity": [f"k{card}" for _ in range(days) for card in range(cards)],
            "amount": pa.array([Decimal("1.00")] * len(occurred), pa.decimal128(12, 2)),
            "is_positive": is_positive,
            "margin": [float(not fraud) for fraud in is_positive],
            "score": [0.5] * len(occurred),
            "slot": ["champion"] * len(occurred),
            "bundle_digest": ["b"] * len(occurred),
        }
    )
    decision = DecisionSpec(capacity=CapacitySpec(review=capacity))
    narrow = spec.model_copy(update={"decision": decision})
    verdict = performance_verdict(narrow, [table], "b", Interval(1.0, 0.9, 1.0), dt.date(2024, 1, 10))
    assert (verdict.has_verdict, verdict.is_alarm) == (has_verdict, has_verdict)
    assert (verdict.reason.startswith("10 entities a day, not above the capacity of 10")) != has_verdict


def test_days_one_by_one_catch_the_frauds_that_the_evaluation_of_all_rows_catches() -> None:
    generator = np.random.default_rng(7)
    rows, days, capacity = 4000, 5, 12
    day = np.sort(generator.integers(0, days, rows))
    moments = np.datetime64("2024-01-01", "us") + day * np.timedelta64(1, "D")
    is_positive = generator.random(rows) < 0.05
    table = pa.table(
        {
            "occurred_at": pa.array(moments),
            "entity": pa.array(generator.integers(0, 200, rows)),
            "amount": pa.array(generator.random(rows)),
            "is_positive": is_positive,
            # Whole numbers, so that cards are tied.
            "margin": pa.array(generator.integers(0, 9, rows).astype(float)),
            "score": pa.array(np.full(rows, 0.5)),
            "slot": pa.array(np.where(generator.random(rows) < 0.8, "champion", "canary")),
            "bundle_digest": pa.array(["b"] * rows),
        }
    )
    found = own_answers(
        [table.filter(pa.array(day == number)) for number in range(days)], "b", Reviewed(capacity=capacity)
    )
    assert found == own_answers([table], "b", Reviewed(capacity=capacity))
    own = table.filter(pc.equal(table.column("slot"), "champion"))
    outcomes, predictions = outcomes_and_predictions(own)
    recall = (
        evaluate(outcomes, predictions, Reviewed(capacity=found.capacity), draws=0).metrics["recall_at_capacity"].value
    )
    assert 0 < found.caught < found.positives
    assert found.caught == pytest.approx(recall * found.positives, abs=1e-9)
    assert found.capacity == round(capacity * own.num_rows / rows) < capacity
