"""Training sets leave either warehouse by days, as the same rows, also over a connection that is lost on the way."""

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lifecycle.artefacts.training_sets import FrozenTrainingSet, Selection, TrainingSetStore
from lifecycle.errors import LifecycleError
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.content_digest import content_digest
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.reading.examples import training_batches, training_examples
from lifecycle.warehouse.snowflake import SnowflakeWarehouse
from lifecycle.warehouse.snowflake.failures import ConnectionLostError
from tests.harness.snowflake_endpoint import IMPATIENT, own_database

START, END, AS_OF = dt.date(2024, 2, 27), dt.date(2024, 3, 3), dt.date(2024, 3, 5)
DAYS = (END - START).days
EMPTY_DAY = dt.date(2024, 3, 1)
QUERY = "left join marts.card_fraud_outcomes"
QUICK = {("end", False), ("truncate", True), ("drop", False)}
FAULTS = [
    pytest.param(*fault, marks=() if fault in QUICK else pytest.mark.long)
    for fault in itertools.product(("drop", "truncate", "unavailable", "expire", "end"), (False, True))
]


@pytest.fixture(scope="module")
def spec() -> RiskModelSpec:
    """The shipped model with every feature in the request, since the values here are made up one by one."""
    shipped = read_model("card_fraud")
    carried = {"source": "request", "expression": None}
    features = tuple(feature.model_copy(update=carried) for feature in shipped.features)
    return shipped.model_copy(update={"features": features, "facts": ()})


def features(spec: RiskModelSpec, rows: int = 600) -> pa.Table:
    """A mart of seven days, one of them without rows and one more on each side; in no order, times in microseconds."""
    generator = np.random.default_rng(5)
    span = (DAYS + 2) * 86_400_000_000
    moments = np.datetime64(START, "us") - np.timedelta64(1, "D") + generator.integers(0, span, rows)
    moments[:20] = moments[0]  # of one moment, told apart by their ids
    is_kept = moments.astype("datetime64[D]") != np.datetime64(EMPTY_DAY)
    cents = [Decimal(int(value)) / 100 for value in generator.integers(1, 10**7, rows)]
    columns = {
        "transaction_id": pa.array(generator.permutation(rows), pa.int64()),
        "customer_id": pa.array(generator.integers(0, 50, rows), pa.int64()),
        "terminal_id": pa.array(generator.integers(0, 30, rows), pa.int64()),
        "occurred_at": pa.array(moments, pa.timestamp("us")),
        "amount": pa.array(cents, pa.decimal128(12, 2)),
    }
    for feature in spec.features:
        if feature.name != "amount":
            whole = pa.array(generator.integers(0, 2, rows), pa.int64())
            columns[feature.name] = whole if feature.dtype == "int" else pa.array(generator.normal(size=rows))
    columns["customer_mean_amount_1d"] = pa.array([-0.0, 1e-300, 1 / 3, *generator.normal(size=rows - 3)])
    return pa.table(columns).filter(pa.array(is_kept))


def outcomes(mart: pa.Table) -> pa.Table:
    """Every third was reported; a third of these the day before `AS_OF` and one at that instant, which is too late.

    Of the early ones, one of four was withdrawn before `AS_OF`, and one at that instant, which still counts.
    """
    reported = mart.take(list(range(0, mart.num_rows, 3))).select(["transaction_id", "occurred_at"])
    early, last = dt.datetime(2024, 3, 4, 23, 59, 59, 999_999), dt.datetime(2024, 3, 5)  # noqa: DTZ001
    moments = [last if row % 3 else early for row in range(reported.num_rows)]
    withdrawals = [(early, last, None, None)[row // 3 % 4] for row in range(reported.num_rows)]
    reported = reported.append_column("reported_at", pa.array(moments, pa.timestamp("us")))
    return reported.append_column("withdrawn_at", pa.array(withdrawals, pa.timestamp("us")))


def fill(warehouse: Warehouse, spec: RiskModelSpec) -> None:
    """Make the marts and put the rows into them."""
    mart = features(spec)
    with warehouse.session("filling the marts") as session:
        session.execute("create schema if not exists marts")
        for name, rows in (("card_transaction_features", mart), ("card_fraud_outcomes", outcomes(mart))):
            types = {pa.int64(): "bigint", pa.timestamp("us"): warehouse.dialect.timestamp, pa.float64(): "double"}
            columns = ", ".join(f"{field.name} {types.get(field.type, 'decimal(12, 2)')}" for field in rows.schema)
            session.execute(f"create table marts.{name} ({columns})")
            session.append(f"marts.{name}", rows)


def extracted(warehouse: Warehouse, spec: RiskModelSpec) -> list[pa.RecordBatch]:
    with closing(training_batches(warehouse, spec, START, END, AS_OF)) as batches:
        return list(batches)


def frozen(warehouse: Warehouse, spec: RiskModelSpec, root: Path) -> FrozenTrainingSet:
    store = TrainingSetStore(root, spec.name)
    with closing(training_batches(warehouse, spec, START, END, AS_OF)) as batches:
        return store.write(batches, spec, Selection(AS_OF, START, END))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, spec: RiskModelSpec) -> FrozenTrainingSet:
    """What DuckDB gives."""
    home = tmp_path_factory.mktemp("expected")
    warehouse = open_warehouse(Settings(home=home))
    fill(warehouse, spec)
    return frozen(warehouse, spec, home / "training_sets")


@pytest.fixture(scope="module")
def remote(
    endpoint: LocalSnowflake, tmp_path_factory: pytest.TempPathFactory, spec: RiskModelSpec
) -> Iterator[SnowflakeWarehouse]:
    """Filled marts in Snowflake, for tests that leave them as they are."""
    opened = SnowflakeWarehouse(own_database(endpoint, tmp_path_factory.mktemp("remote")), Use("load"))
    fill(opened, spec)
    yield opened
    opened.close()


@pytest.fixture(params=["duckdb", "snowflake"])
def filled(request: pytest.FixtureRequest, spec: RiskModelSpec) -> Warehouse:
    """Filled marts in each warehouse, for tests that leave them as they are."""
    if request.param == "snowflake":
        opened: Warehouse = request.getfixturevalue("remote")
        return opened
    warehouse = open_warehouse(request.getfixturevalue("settings"))
    fill(warehouse, spec)
    return warehouse


def test_either_warehouse_gives_the_same_training_set(
    filled: Warehouse, spec: RiskModelSpec, expected: FrozenTrainingSet, tmp_path: Path
) -> None:
    assert frozen(filled, spec, tmp_path / "sets").description == expected.description
    assert expected.description.rows > 300


def test_the_rows_are_those_of_the_days_in_order_with_what_was_known(filled: Warehouse, spec: RiskModelSpec) -> None:
    batches = extracted(filled, spec)
    assert {str(batch.schema) for batch in batches} == {str(batches[0].schema)}
    table = pa.Table.from_batches(batches)
    mart = features(spec).sort_by([("occurred_at", "ascending"), ("transaction_id", "ascending")])
    moments = mart["occurred_at"].to_numpy()
    inside = (moments >= np.datetime64(START)) & (moments < np.datetime64(END))
    wanted = mart.filter(pa.array(inside))
    for name in wanted.column_names:
        assert table[name].to_pylist() == wanted[name].to_pylist()
    as_of = dt.datetime(2024, 3, 5)  # noqa: DTZ001
    known = outcomes(features(spec)).filter(pa.compute.field("reported_at") < as_of)
    known = known.filter((pa.compute.field("withdrawn_at") >= as_of) | pa.compute.field("withdrawn_at").is_null())
    ids = set(known["transaction_id"].to_pylist()) & set(wanted["transaction_id"].to_pylist())
    assert set(table.filter(table["reported_at"].is_valid())["transaction_id"].to_pylist()) == ids


def test_a_day_is_asked_for_at_a_time_and_one_without_rows_gives_none(filled: Warehouse, spec: RiskModelSpec) -> None:
    days = [{str(moment.date()) for moment in batch["occurred_at"].to_pylist()} for batch in extracted(filled, spec)]
    assert [day for day in days if day] == [
        {str(START + dt.timedelta(days=day))} for day in range(DAYS) if START + dt.timedelta(days=day) != EMPTY_DAY
    ]


@pytest.mark.parametrize("rows", [1, 150])
def test_the_days_are_the_same_however_often_the_warehouse_is_opened(
    filled: Warehouse, spec: RiskModelSpec, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    at_once = pa.Table.from_batches(extracted(filled, spec))
    monkeypatch.setattr("lifecycle.warehouse.reading.examples.ROWS_KEPT_OPEN", rows)
    assert pa.Table.from_batches(extracted(filled, spec)).equals(at_once)


def test_all_at_once_are_the_same_rows(filled: Warehouse, spec: RiskModelSpec) -> None:
    table = training_examples(filled, spec, START, END, AS_OF)
    assert content_digest(table.to_batches()) == content_digest(extracted(filled, spec))
    nothing = training_examples(filled, spec, EMPTY_DAY, EMPTY_DAY + dt.timedelta(days=1), AS_OF)
    assert (nothing.num_rows, nothing.schema) == (0, table.schema)


def test_writers_wait_until_the_last_day_is_read(filled: Warehouse, spec: RiskModelSpec) -> None:
    with closing(training_batches(filled, spec, START, END, AS_OF)) as batches:
        next(batches)
        assert lock_of(filled).descriptor is not None
    assert lock_of(filled).descriptor is None


def lock_of(warehouse: Warehouse) -> Any:
    """The warehouse's lock between processes."""
    return warehouse._lock  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.parametrize(("effect", "is_after"), FAULTS)
def test_a_day_that_is_lost_is_asked_for_again_and_no_row_is_there_twice(
    remote: SnowflakeWarehouse,
    endpoint: LocalSnowflake,
    spec: RiskModelSpec,
    expected: FrozenTrainingSet,
    tmp_path: Path,
    effect: str,
    is_after: bool,
) -> None:
    endpoint.fault(QUERY, effect, nth=3, after=is_after)
    before = len(endpoint.statements())
    try:
        assert frozen(remote, spec, tmp_path / "sets").description == expected.description
    finally:
        endpoint.clear_faults()
    sessions = {statement["session"] for statement in endpoint.statements()[before:]}
    # Most of it the connector repeats by itself; an answer cut short and a session that has ended are left to us.
    assert len(sessions) == (2 if effect in {"truncate", "end"} else 1)


@pytest.mark.long
@pytest.mark.usefixtures("uncancelled")
def test_an_extraction_whose_endpoint_dies_leaves_nothing_and_is_run_again(
    mortal: LocalSnowflake, spec: RiskModelSpec, expected: FrozenTrainingSet, tmp_path: Path
) -> None:
    warehouse = SnowflakeWarehouse(own_database(mortal, tmp_path / "home", **IMPATIENT), Use("train"))
    warehouse.ensure(raw_definitions(warehouse.dialect))
    fill(warehouse, spec)
    mortal.fault(QUERY, "kill", nth=3)
    with pytest.raises(ConnectionLostError):
        frozen(warehouse, spec, tmp_path / "sets")
    assert not [path for path in (tmp_path / "sets").rglob("*") if path.is_file()]
    mortal.wait_until_dead()
    mortal.restart()
    assert frozen(warehouse, spec, tmp_path / "sets").description == expected.description
    warehouse.close()


def test_a_transaction_that_the_warehouse_holds_twice_is_refused(
    warehouse: Warehouse, spec: RiskModelSpec, tmp_path: Path
) -> None:
    """The copies are of different days, so that the order of rows does not show them."""
    fill(warehouse, spec)
    names = features(spec).column_names
    copied = ", ".join({"transaction_id": "1000000", "occurred_at": "?"}.get(name, name) for name in names)
    with warehouse.session("spoiling the marts") as session:
        for day in (START, END - dt.timedelta(days=1)):
            session.execute(
                f"insert into marts.card_transaction_features ({', '.join(names)}) "
                f"select {copied} from marts.card_transaction_features where transaction_id = ?",
                [dt.datetime.combine(day, dt.time(12)), features(spec)["transaction_id"][0].as_py()],
            )
    with pytest.raises(LifecycleError, match="Expected each transaction_id once"):
        frozen(warehouse, spec, tmp_path / "sets")


def test_what_was_frozen_can_be_trained_on(expected: FrozenTrainingSet, spec: RiskModelSpec) -> None:
    table = TrainingSetStore(expected.folder.parent.parent, spec.name).read(AS_OF.isoformat())
    loose = [feature.model_copy(update={"minimum": None, "maximum": None}) for feature in spec.features]
    examples = examples_from_table(table, spec.model_copy(update={"features": tuple(loose)}))
    assert len(examples) == expected.description.rows
    assert examples.features.shape == (len(examples), len(spec.features))
    [terminals] = examples.clusters
    rows = table.sort_by([("occurred_at", "ascending"), ("transaction_id", "ascending")])
    assert terminals.tolist() == rows["terminal_id"].to_pylist()
    older = table.drop_columns(["terminal_id"])
    assert examples_from_table(older, spec.model_copy(update={"features": tuple(loose)})).clusters == ()
