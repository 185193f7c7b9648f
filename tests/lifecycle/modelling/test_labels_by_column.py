"""Labels that the mart holds in a column: known from a moment on, left out until then, and counted."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.training_set import Examples, examples_from_table, labels
from lifecycle.modelling.windows import split_examples
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.credit_model import CREDIT

FIRST = dt.datetime.fromisoformat("2024-01-01T10:00")
AS_OF = dt.date(2024, 2, 10)
ROWS = 400


@pytest.fixture
def credit() -> RiskModelSpec:
    return RiskModelSpec.model_validate(CREDIT)


def table(outcome_type: pa.DataType) -> pa.Table:
    """Ten examples a day; every fifth outcome is not known, every seventh became known on the last day."""
    occurred = [FIRST + dt.timedelta(days=row // 10, seconds=row) for row in range(ROWS)]
    late = dt.datetime.combine(AS_OF, dt.time()) - dt.timedelta(hours=1)
    known = [
        None if row % 5 == 0 else late if row % 7 == 0 else moment + dt.timedelta(hours=30)
        for row, moment in enumerate(occurred)
    ]
    outcome = [None if row % 5 == 0 else row % 3 == 0 for row in range(ROWS)]
    return pa.table(
        {
            "application_id": [f"A-{ROWS - row:04d}" for row in range(ROWS)],
            "client_id": [f"c{row % 60}" for row in range(ROWS)],
            "occurred_at": pa.array(occurred, pa.timestamp("us")),
            "income": [float(row % 11) for row in range(ROWS)],
            "label_known_at": pa.array(known, pa.timestamp("us")),
            "is_default": pa.array(outcome, pa.bool_()).cast(outcome_type),
        }
    )


@pytest.mark.parametrize("outcome_type", [pa.bool_(), pa.int64(), pa.int32()])
def test_an_outcome_is_read_from_its_column(credit: RiskModelSpec, outcome_type: pa.DataType) -> None:
    examples = examples_from_table(table(outcome_type), credit)
    is_positive, is_mature = labels(examples, AS_OF, 2)
    cutoff = dt.datetime.combine(AS_OF, dt.time())
    rows = table(outcome_type).to_pylist()
    known = [row["label_known_at"] is not None and row["label_known_at"] < cutoff for row in rows]
    assert is_positive.tolist() == [now and bool(row["is_default"]) for now, row in zip(known, rows, strict=True)]
    assert is_mature[:300].tolist() == known[:300]
    assert 0 < sum(known) < ROWS - ROWS // 5
    assert examples.amount is None
    assert examples.id[0] == f"A-{ROWS:04d}"


def test_what_became_known_later_is_not_known_yet(credit: RiskModelSpec) -> None:
    examples = examples_from_table(table(pa.bool_()), credit)
    early = dt.date(2024, 2, 9)
    is_positive, is_mature = labels(examples, early, 2)
    late = (np.arange(ROWS) % 7 == 0) & (np.arange(ROWS) % 5 != 0)
    assert not is_positive[late].any()
    assert not is_mature[late].any()
    assert labels(examples, AS_OF, 2)[0][late].sum() == sum(row % 3 == 0 for row in np.flatnonzero(late))


def test_examples_without_a_known_outcome_are_left_out_and_counted(credit: RiskModelSpec) -> None:
    examples = examples_from_table(table(pa.bool_()), credit)
    split = split_examples(credit, examples, AS_OF)
    days = (split.holdout.end - split.holdout.start).days
    assert len(split.holdout.rows) == 8 * days
    assert split.holdout.unknown == 2 * days
    assert not np.isnat(examples.known_at[split.holdout.rows]).any()
    # The training windows know less: what became known on the last day is not among them.
    assert split.judged.unknown > 2 * (split.judged.end - split.judged.start).days
    assert len(split.recent.rows) == 10 * (min(AS_OF, dt.date(2024, 2, 10)) - split.recent.start).days


def test_a_window_whose_outcomes_are_all_unknown_says_so(credit: RiskModelSpec) -> None:
    rows = table(pa.bool_())
    unknown = rows.set_column(
        rows.schema.get_field_index("label_known_at"), "label_known_at", pa.nulls(ROWS, pa.timestamp("us"))
    )
    with pytest.raises(LifecycleError, match=r"got none \(\d+ have no known outcome\)"):
        split_examples(credit, examples_from_table(unknown, credit), AS_OF)


def test_a_number_that_is_no_outcome_is_refused(credit: RiskModelSpec) -> None:
    rows = table(pa.int64())
    wrong = rows.set_column(
        rows.schema.get_field_index("is_default"), "is_default", pa.array([2, *[1] * (ROWS - 1)], pa.int64())
    )
    with pytest.raises(LifecycleError, match=r"Expected 0 or 1, got 1 others.*'is_default'"):
        examples_from_table(wrong, credit)


def test_text_ids_at_one_moment_are_ordered_as_text(credit: RiskModelSpec) -> None:
    rows = table(pa.bool_())
    at_once = rows.set_column(
        rows.schema.get_field_index("occurred_at"), "occurred_at", pa.array([FIRST] * ROWS, pa.timestamp("us"))
    )
    examples: Examples = examples_from_table(at_once, credit)
    assert examples.id.tolist() == sorted(examples.id.tolist())
