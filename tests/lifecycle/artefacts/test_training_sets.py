"""Frozen training sets: streamed, named by their content, whole or not there."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.artefacts.training_sets import ROWS_PER_GROUP, Selection, TrainingSetDescription, TrainingSetStore
from lifecycle.errors import LifecycleError
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.content_digest import content_digest

SELECTION = Selection(dt.date(2018, 8, 29), dt.date(2018, 8, 1), dt.date(2018, 8, 22))


@pytest.fixture
def spec() -> RiskModelSpec:
    return read_model("card_fraud")


@pytest.fixture
def store(tmp_path: Path) -> TrainingSetStore:
    return TrainingSetStore(tmp_path, "card_fraud")


def rows(count: int, first: int = 0) -> pa.RecordBatch:
    """`count` examples a microsecond apart; the first one of these was reported."""
    numbers = range(first, first + count)
    return pa.record_batch(
        {
            "transaction_id": pa.array(numbers, pa.int64()),
            "occurred_at": pa.array(numbers, pa.timestamp("us")),
            "amount": pa.array([1.5 * number for number in numbers], pa.float64()),
            "reported_at": pa.array([0 if number == first else None for number in numbers], pa.timestamp("us")),
        }
    )


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_training_set_comes_back_as_it_was_frozen(store: TrainingSetStore, spec: RiskModelSpec) -> None:
    batches = [rows(3), rows(2, first=3)]
    frozen = store.write(batches, spec, SELECTION)
    assert store.read("2018-08-29").equals(pa.Table.from_batches(batches))
    assert frozen.description == store.describe("2018-08-29") == TrainingSetDescription(
        model="card_fraud", digest=content_digest(batches), as_of="2018-08-29", first_day="2018-08-01",
        end_day="2018-08-22", rows=5, reported=2,
    )  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in frozen.folder.iterdir()} == {0o600}


def test_the_same_content_in_other_batches_changes_nothing(
    store: TrainingSetStore, spec: RiskModelSpec, tmp_path: Path
) -> None:
    first = store.write([rows(5)], spec, SELECTION)
    before = contents(tmp_path)
    assert store.write([rows(5).slice(0, 2), rows(0), rows(5).slice(2)], spec, SELECTION) == first
    assert contents(tmp_path) == before


def test_row_groups_gather_small_days_and_no_batch_is_held_longer(store: TrainingSetStore, spec: RiskModelSpec) -> None:
    """Forty days of 10,000 rows: written as they come, a row group for every ten of them."""
    size, alive = 10_000, []

    def days() -> Iterator[pa.RecordBatch]:
        for day in range(40):
            alive.append(pa.total_allocated_bytes())
            yield rows(size, first=day * size)

    frozen = store.write(days(), spec, SELECTION)
    metadata = pq.read_metadata(frozen.folder / "examples.parquet")
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert groups == [ROWS_PER_GROUP] * 4
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    # As much is held before the last day as was before the tenth, when the first row group was still to be written.
    assert max(alive[10:]) < 1.2 * alive[9]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "Expected examples from 2018-08-01 to 2018-08-22, got no rows"),
        ([rows(0)], "Expected examples from 2018-08-01 to 2018-08-22, got no rows"),
        ([rows(2, first=3), rows(2)], r"do not come after the row before, first at rows \[2\]"),
        ([rows(2), rows(2, first=1)], r"do not come after the row before, first at rows \[2\]"),
    ],
)
def test_rows_that_are_not_a_training_set_leave_nothing(
    store: TrainingSetStore, spec: RiskModelSpec, tmp_path: Path, batches: list[pa.RecordBatch], message: str
) -> None:
    with pytest.raises(LifecycleError, match=message):
        store.write(batches, spec, SELECTION)
    assert contents(tmp_path) == {}
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_transaction_of_two_days_is_refused(store: TrainingSetStore, spec: RiskModelSpec, tmp_path: Path) -> None:
    later = rows(3, first=7)
    again = later.set_column(0, "transaction_id", pa.array([7, 1, 9]))
    with pytest.raises(LifecycleError, match=r"Expected each transaction_id once, .* first in the rows \[1\]"):
        store.write([rows(3), again], spec, SELECTION)
    assert contents(tmp_path) == {}


def test_rows_that_end_in_an_error_leave_what_stood(
    store: TrainingSetStore, spec: RiskModelSpec, tmp_path: Path
) -> None:
    standing = store.write([rows(5)], spec, SELECTION)
    before = contents(tmp_path)

    def broken() -> Iterator[pa.RecordBatch]:
        yield rows(ROWS_PER_GROUP)
        raise LifecycleError("Expected the connection, got none")

    with pytest.raises(LifecycleError, match="Expected the connection"):
        store.write(broken(), spec, SELECTION)
    assert contents(tmp_path) == before
    assert store.describe("2018-08-29") == standing.description


def test_a_writer_that_is_at_work_keeps_its_folder_and_a_dead_one_loses_it(
    store: TrainingSetStore, spec: RiskModelSpec, tmp_path: Path
) -> None:
    abandoned = tmp_path / "card_fraud" / ".dead.tmp"
    abandoned.mkdir(parents=True)
    (abandoned / "examples.parquet").touch()
    other = Selection(dt.date(2018, 8, 30), dt.date(2018, 8, 2), dt.date(2018, 8, 23))

    def while_another_writes() -> Iterator[pa.RecordBatch]:
        yield rows(ROWS_PER_GROUP)
        assert not abandoned.exists()
        store.write([rows(5)], spec, other)
        yield rows(1, first=ROWS_PER_GROUP)

    store.write(while_another_writes(), spec, SELECTION)
    assert [store.describe(as_of).rows for as_of in ("2018-08-29", "2018-08-30")] == [ROWS_PER_GROUP + 1, 5]


def test_a_missing_training_set_says_which_asset_makes_it(store: TrainingSetStore) -> None:
    with pytest.raises(LifecycleError, match="materialise the asset card_fraud/training_set"):
        store.read("2018-08-30")
