"""The features' SQL against the plainest Python, and by days against the whole."""

import datetime as dt
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.warehouse.loading.stale_days import changed_range, merge
from lifecycle.warehouse.raw_tables import declarations
from tests.harness.features_generated import DAYS, FIRST_DAY, RawRows, generate
from tests.harness.features_oracle import expected_features
from tests.harness.in_process_build import InProcessBuild

LAST = FIRST_DAY + dt.timedelta(days=DAYS)
PROPERTY = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(compiled: Path, raw_rows: RawRows) -> pa.Table:
    built = InProcessBuild(compiled, raw_rows)
    built.build(FIRST_DAY, LAST)
    return built.features()


@PROPERTY
@given(seed=st.integers(0, 2**32 - 1))
def test_each_feature_is_its_definition_whatever_the_microsecond(compiled: Path, seed: int) -> None:
    rows = generate(seed, rows=250, customers=3, terminals=2)
    built = InProcessBuild(compiled, rows)
    built.build(FIRST_DAY, LAST)
    found = {row["transaction_id"]: row for row in built.features().to_pylist()}
    expected = expected_features(*(table.to_pylist() for table in (rows.transactions, rows.reports, rows.withdrawals)))
    assert found.keys() == expected.keys()
    for transaction_id, features in expected.items():
        assert {name: found[transaction_id][name] for name in features} == features


@pytest.mark.long
@PROPERTY
@given(
    cuts=st.sets(st.integers(1, DAYS - 1), max_size=6),
    order=st.randoms(use_true_random=False),
    again=st.tuples(st.integers(0, DAYS - 1), st.integers(1, DAYS)),
)
def test_a_backfill_in_any_split_and_order_gives_the_rows_of_the_whole_to_the_bit(
    compiled: Path, raw_rows: RawRows, whole: pa.Table, cuts: set[int], order: object, again: tuple[int, int]
) -> None:
    edges = [0, *sorted(cuts), DAYS]
    ranges = list(itertools.pairwise(edges))
    order.shuffle(ranges)  # type: ignore[attr-defined] # hypothesis's own random
    built = InProcessBuild(compiled, raw_rows)
    for start, end in [*ranges, (min(again), max(again) + 1)]:
        built.build(FIRST_DAY + dt.timedelta(days=start), FIRST_DAY + dt.timedelta(days=end))
    assert built.features().equals(whole)


@PROPERTY
@given(day=st.integers(0, DAYS - 1))
def test_a_day_built_with_what_was_known_at_its_end_is_the_same_as_ever_after(
    compiled: Path, raw_rows: RawRows, whole: pa.Table, day: int
) -> None:
    start, end = FIRST_DAY + dt.timedelta(days=day), FIRST_DAY + dt.timedelta(days=day + 1)
    midnight = pa.scalar(dt.datetime.combine(end, dt.time()), pa.timestamp("us"))
    known = RawRows(
        raw_rows.transactions.filter(pc.less(raw_rows.transactions.column("occurred_at"), midnight)),
        raw_rows.reports.filter(pc.less(raw_rows.reports.column("reported_at"), midnight)),
        raw_rows.withdrawals.filter(pc.less(raw_rows.withdrawals.column("withdrawn_at"), midnight)),
    )
    built = InProcessBuild(compiled, known)
    built.build(start, end)
    dates = pc.cast(whole.column("occurred_at"), pa.date32())
    assert built.features().equals(whole.filter(pc.equal(dates, pa.scalar(start))))


@PROPERTY
@given(
    late=st.lists(st.integers(0, 3999), min_size=1, max_size=3, unique=True),
    kind=st.sampled_from(["transactions", "reports", "withdrawals"]),
)
def test_building_the_days_that_a_late_load_touches_is_enough(
    compiled: Path, raw_rows: RawRows, whole: pa.Table, late: list[int], kind: str
) -> None:
    transactions, reports, withdrawals = raw_rows.transactions, raw_rows.reports, raw_rows.withdrawals
    ids = {
        "transactions": pa.array(late, pa.int64()),
        "reports": reports.column("transaction_id").slice(late[0] % 500, 3),
        "withdrawals": withdrawals.column("transaction_id").slice(late[0] % 150, 3),
    }[kind]
    missing = RawRows(
        _of_ids(transactions, ids) if kind == "transactions" else transactions.slice(0, 0),
        _of_ids(reports, ids) if kind != "withdrawals" else reports.slice(0, 0),
        _of_ids(withdrawals, ids),
    )
    before = RawRows(
        _of_ids(transactions, ids, is_in=False) if kind == "transactions" else transactions,
        _of_ids(reports, ids, is_in=False) if kind != "withdrawals" else reports,
        _of_ids(withdrawals, ids, is_in=False),
    )
    built = InProcessBuild(compiled, before)
    built.build(FIRST_DAY, LAST)
    built.insert(missing)
    occurred = {row["transaction_id"]: row["occurred_at"].date() for row in transactions.to_pylist()}
    came = [(occurred[row["transaction_id"]], row["reported_at"].date()) for row in missing.reports.to_pylist()]
    came += [(occurred[row["transaction_id"]], row["withdrawn_at"].date()) for row in missing.withdrawals.to_pylist()]
    days = [row["occurred_at"].date() for row in missing.transactions.to_pylist()]
    cards, reported = declarations().table("card_transactions"), declarations().table("fraud_reports")
    ranges = [changed_range(cards, day, day) for day in days] + [changed_range(reported, *dates) for dates in came]
    for touched in merge([found for found in ranges if found], LAST - dt.timedelta(days=1)):
        built.build(touched.start_date, touched.end_date)
    assert built.features().equals(whole)


def test_a_corrected_amount_changes_no_feature(compiled: Path, raw_rows: RawRows, whole: pa.Table) -> None:
    """Whether the correction came before or after the transactions whose windows hold it."""
    built = InProcessBuild(compiled, raw_rows)
    built.connection.execute(
        "insert into raw.card_transactions_versions by name select * replace (cast(amount + 1000 as decimal(12, 2)) "
        "as amount), occurred_at + to_days(cast(transaction_id % 3 as integer)) as known_at from raw.card_transactions"
    )
    built.build(FIRST_DAY, LAST)
    assert built.features().equals(whole)


def _of_ids(rows: pa.Table, ids: pa.Array, *, is_in: bool = True) -> pa.Table:
    found = pc.is_in(rows.column("transaction_id"), value_set=pc.unique(ids))
    return rows.filter(found if is_in else pc.invert(found))


def test_the_generated_rows_hit_the_cases_that_matter(raw_rows: RawRows, whole: pa.Table) -> None:
    occurred = raw_rows.transactions.group_by(["customer_id", "occurred_at"]).aggregate([("transaction_id", "count")])
    assert max(occurred.column("transaction_id_count").to_pylist()) >= 3
    assert len(set(whole.column("is_terminal_last_fraud").to_pylist())) == 2
    assert {row["terminal_hours_since_genuine"] for row in whole.to_pylist()} >= {168.0, 888.0}
    assert whole.num_rows == raw_rows.transactions.num_rows
    reported = raw_rows.reports.column("transaction_id").to_pylist()
    assert len(reported) - len(set(reported)) > 50
    assert raw_rows.withdrawals.num_rows > 100


@pytest.mark.parametrize("tied", [2, 600, 1100])
def test_a_placeholder_customer_with_many_payments_in_one_microsecond_stops_no_day(compiled: Path, tied: int) -> None:
    moment = dt.datetime.combine(FIRST_DAY + dt.timedelta(days=31), dt.time(12))
    times = [moment] * tied
    times += [moment + dt.timedelta(days=days, microseconds=us) for days in (-30, -7, -1, 1) for us in (-1, 0, 1)]
    count = len(times)
    ids = [(number * 7919) % count for number in range(count)]
    transactions = pa.table(
        {
            "transaction_id": pa.array(ids, pa.int64()),
            "occurred_at": pa.array(times, pa.timestamp("us")),
            "customer_id": pa.array([-1] * count, pa.int64()),
            "terminal_id": pa.array(ids, pa.int64()),
            "amount": pa.array([f"{number % 97}.{number % 100:02d}" for number in ids]).cast(pa.decimal128(12, 2)),
        }
    )
    reports = pa.table({"transaction_id": pa.array([], pa.int64()), "reported_at": pa.array([], pa.timestamp("us"))})
    built = InProcessBuild(compiled, RawRows(transactions, reports))
    built.build(FIRST_DAY, LAST)
    expected = expected_features(transactions.to_pylist(), [])
    found = {row["transaction_id"]: row for row in built.features().to_pylist()}
    assert len(found) == count
    for transaction_id, features in expected.items():
        assert {name: found[transaction_id][name] for name in features} == features


def test_no_data_test_reads_days_before_the_days_that_are_built() -> None:
    tests = Path(__file__).parents[3] / "dbt_project" / "tests"
    assert not [path.name for path in tests.glob("*.sql") if "look_back_days" in path.read_text()]
