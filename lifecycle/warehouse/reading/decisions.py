"""Loads the server's decision log into the warehouse, each record once, and reads it."""

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.monitoring.accounts import LogLosses
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Definition, Dialect, Session, Warehouse
from lifecycle.warehouse.reading.examples import MARTS, known_before, midnight, outcomes_of
from lifecycle.warehouse.reading.log_positions import LOST, Start, offset_rows, start_of_load
from lifecycle.warehouse.reading.refusals import Refusals, append_refusals, counted, refusal_definition
from serving.contract.documents import DecisionRecord, RejectionRecord, SlotName
from serving.log.segments import LoggedRecord, read_records
from serving.storage.crash_points import crash_point

if TYPE_CHECKING:
    import pyarrow as pa

DECISIONS = "raw.decisions"
OFFSETS = "raw.decision_log_offsets"
LOADED_AT_ONCE = 10_000
"""Records of the log in memory at a time; a record takes about five kilobytes with its row."""
PART_ROWS = 5_000
"""Rows of traffic in memory at a time; a row takes about a kilobyte."""
DAY = dt.timedelta(days=1)
ANSWERING: tuple[SlotName, ...] = ("champion", "canary")
"""Slots whose scores were returned to callers; a shadow's records have the same decision_id."""

_COLUMNS = """
    model varchar not null, decision_id varchar not null, slot varchar not null, transaction_id varchar not null,
    entity_key varchar not null, occurred_at {timestamp} not null, decided_at {timestamp} not null,
    bundle_digest varchar, release_number bigint, features varchar, margin double, score double, decision varchar,
    caller varchar, elapsed_us bigint not null, error varchar
"""
# Reasons and trace are only in the log, by decision_id: existing installations have tables without these columns, and
# altering a table takes its ownership, which this step's role may lack.
_NAMES = tuple(column.split()[0] for column in _COLUMNS.split(",") if column.strip())


def decision_definitions(dialect: Dialect) -> tuple[Definition, ...]:
    """Definitions of the tables of decisions, of refusals and of the positions reached in the log."""
    columns = _COLUMNS.format(timestamp=dialect.timestamp)
    return (
        Definition("raw", "create schema if not exists raw"),
        Definition(DECISIONS, f"create table if not exists {DECISIONS} ({columns})"),
        refusal_definition(),
        Definition(
            OFFSETS,
            f"create table if not exists {OFFSETS} (segment varchar not null, next_offset bigint not null)",
        ),
    )


class LoadedDecisions(msgspec.Struct, frozen=True):
    """Result of one load of the decision log: `refused` counts requests without a decision."""

    read: int
    inserted: int
    refused: int = 0
    losses: LogLosses = LogLosses()

    @property
    def repeated(self) -> int:
        """Records of decisions that were loaded before, or occur more than once in the log."""
        return self.read - self.inserted


class _Arrived:
    """The next records of the log; of records with one key the first is kept."""

    def __init__(self, start: Start) -> None:
        self.offsets = dict(start.offsets)
        self.first: dict[tuple[str, str, bool, bool], DecisionRecord] = {}
        self.rejections: list[RejectionRecord] = []
        self.conflicting: set[tuple[str, str]] = set()
        self.read = 0

    def add(self, entry: LoggedRecord[DecisionRecord | RejectionRecord]) -> None:
        """Keep a record, and the position after it."""
        self.offsets[entry.segment] = entry.end
        record = entry.record
        if isinstance(record, RejectionRecord):
            self.rejections.append(record)
            return
        self.read += 1
        # A repeat after another release may come from another slot and is the same decision. A failed attempt is not a
        # decision: a later success under the same id counts.
        key = (record.model, record.decision_id, record.slot == "shadow", record.error is None)
        kept = self.first.setdefault(key, record)
        if kept.transaction_id != record.transaction_id:
            self.conflicting.add((record.model, record.decision_id))


@dataclass
class _Loaded:
    """What the parts of one load have come to so far."""

    read: int = 0
    inserted: int = 0
    refused: int = 0
    lost: dict[str, None] = field(default_factory=dict)
    restarted: dict[str, None] = field(default_factory=dict)
    conflicting: set[tuple[str, str]] = field(default_factory=set)

    def result(self) -> LoadedDecisions:
        """The whole load."""
        losses = LogLosses(tuple(self.lost), tuple(self.restarted), len(self.conflicting))
        return LoadedDecisions(self.read, self.inserted, self.refused, losses)


def load_decisions(warehouse: Warehouse, log: Path) -> LoadedDecisions:
    """Load the log's new records; of repeated records the first is kept.

    A shadow's record and a failed attempt are stored in addition. Rejections are counted by day and kind.

    At most `LOADED_AT_ONCE` records are in memory: the log is loaded in parts. The transaction of each part stores the
    position in each segment with the rows, so that a crash at any point neither repeats nor loses a record.
    """
    loaded = _Loaded()
    is_complete = False
    while not is_complete:
        try:
            is_complete = warehouse.retrying(lambda: _load_part(warehouse, log, loaded))
        except _PositionsMovedError:
            continue  # another process has loaded more of the log in the meantime
    return loaded.result()


class _PositionsMovedError(Exception):
    """The positions in the log changed while it was read: what was read is not new."""


def _load_part(warehouse: Warehouse, log: Path, loaded: _Loaded) -> bool:
    """Load the next records and add them to `loaded`; returns whether the log has no more."""
    warehouse.ensure(decision_definitions(warehouse.dialect))
    with warehouse.session("loading the decision log", is_appending=True) as session:
        reached = _positions(session)
        start = start_of_load(log, reached)
        arrived, is_complete = _read_part(log, start)
        if not is_complete:
            # Until the last part, a loss is not marked as reported: a crash before it would hide it.
            arrived.offsets = {
                name: reached.get(name, 0) if offset == LOST else offset for name, offset in arrived.offsets.items()
            }
        if arrived.offsets != reached:
            _store_part(warehouse, session, arrived, reached, loaded)
    loaded.lost |= dict.fromkeys(start.lost)
    loaded.restarted |= dict.fromkeys(start.restarted)
    return is_complete


def _read_part(log: Path, start: Start) -> tuple[_Arrived, bool]:
    """The next records, and whether they are the last."""
    arrived = _Arrived(start)
    entries = list(itertools.islice(read_records(log, start.offsets), LOADED_AT_ONCE))
    for entry in entries:
        arrived.add(entry)
    return arrived, len(entries) < LOADED_AT_ONCE


def _store_part(
    warehouse: Warehouse, session: Session, arrived: _Arrived, reached: dict[str, int], loaded: _Loaded
) -> None:
    refusals = counted(arrived.rejections)
    scratch = session.scratch("arrived", _COLUMNS.format(timestamp=warehouse.dialect.timestamp))
    session.append(scratch, _rows(list(arrived.first.values())))
    with session.transaction(serial="decisions"):
        if _positions(session) != reached:
            raise _PositionsMovedError
        inserted = _insert(session, scratch, refusals, arrived.conflicting)
        session.execute(f"delete from {OFFSETS}")
        session.append(OFFSETS, offset_rows(arrived.offsets))
    loaded.read += arrived.read
    loaded.inserted += inserted
    loaded.refused += sum(refusals.values())
    loaded.conflicting |= arrived.conflicting


def _positions(session: Session) -> dict[str, int]:
    known = session.query(f"select segment, next_offset from {OFFSETS}").to_pylist()
    return {row["segment"]: row["next_offset"] for row in known}


def _insert(session: Session, arrived: str, refusals: Refusals, conflicting: set[tuple[str, str]]) -> int:
    """Insert what no load has inserted before; returns the number of decisions, and adds to the conflicting ones."""
    is_same = """known.model = arrived.model and known.decision_id = arrived.decision_id
        and (known.slot = 'shadow') = (arrived.slot = 'shadow') and (known.error is null) = (arrived.error is null)"""
    new = f"from {arrived} as arrived where not exists (select 1 from {DECISIONS} as known where {is_same})"
    other = f"""select arrived.model, arrived.decision_id from {arrived} as arrived inner join {DECISIONS} as known
        on {is_same} where known.transaction_id <> arrived.transaction_id"""
    conflicting.update((row["model"], row["decision_id"]) for row in session.query(other).to_pylist())
    columns = ", ".join(_NAMES)
    inserted: int = session.query(f"select count(*) as row_count {new}").to_pylist()[0]["row_count"]
    session.execute(f"insert into {DECISIONS} ({columns}) select {columns} {new}")
    append_refusals(session, refusals)
    crash_point("decisions.inserted")
    return inserted


def read_decisions(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date | None = None
) -> "pa.Table":
    """Decisions on events of ``[start, end)``, with outcomes reported before `as_of` if it is given.

    Columns: decision_id, slot (champion or canary), entity (as in the raw data), occurred_at, amount (null if examples
    have none), bundle_digest, margin, score, decision, is_positive (null if not known); `traffic_batches` has the
    features. Errors and decisions without an example are excluded: `accounts.day_accounts` counts them.
    """
    columns = spec.columns
    outcome = outcomes_of(spec)
    known = known_before(outcome.is_positive + outcome.join, as_of or dt.date(1970, 1, 1))
    amount = f"examples.{columns.amount}" if columns.amount else "cast(null as double)"
    return warehouse.query(
        f"""
        select
            decisions.decision_id, decisions.slot, examples.{columns.entity} as entity, decisions.occurred_at,
            {amount} as amount, decisions.bundle_digest, decisions.margin, decisions.score,
            decisions.decision, {outcome.is_positive} as is_positive
        from {DECISIONS} as decisions
        inner join {MARTS}.{spec.mart} as examples on {same_transaction(spec)}
        {outcome.join}
        where {is_answer("decisions")}
            and decisions.occurred_at >= ? and decisions.occurred_at < ?
        order by decisions.occurred_at, decisions.decision_id
        """,
        [*known, spec.name, midnight(start), midnight(end)],
    )


def traffic_batches(warehouse: Warehouse, spec: RiskModelSpec, day: dt.date) -> Iterator["pa.RecordBatch"]:
    """The rows that `read_decisions` has for one day, in no order.

    Columns: bundle_digest, features (JSON), score. DuckDB holds the whole result of a query with bound values, so each
    query reads a part of the day with about `PART_ROWS` decisions. A lost connection ends the iterator: retry what
    reads it.
    """
    decisions = daily_decisions(warehouse, spec.name, day, day + DAY).get(day, 0)
    parts = max(1, -(-decisions // PART_ROWS))
    bounds = [midnight(day) + DAY * part / parts for part in range(parts + 1)]
    for start, end in itertools.pairwise(bounds):
        yield from warehouse.batches(_traffic_sql(spec), _traffic_parameters(spec, start, end))


def sampled_traffic(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, rows: int) -> "pa.Table":
    """At most so many rows of `traffic_batches` of ``[start, end)``, the same ones at every call."""
    sql = f"{_traffic_sql(spec)} order by md5(decisions.decision_id) limit {rows:d}"
    return warehouse.query(sql, _traffic_parameters(spec, midnight(start), midnight(end)))


def _traffic_sql(spec: RiskModelSpec) -> str:
    transaction, occurred_at = spec.columns.id, spec.columns.occurred_at
    return f"""
        select decisions.bundle_digest, decisions.features, decisions.score
        from {DECISIONS} as decisions
        inner join (
            select {transaction}, {occurred_at} from {MARTS}.{spec.mart} where {occurred_at} >= ? and {occurred_at} < ?
        ) as examples on {same_transaction(spec)}
        where {is_answer("decisions")} and decisions.occurred_at >= ? and decisions.occurred_at < ?
        """


def _traffic_parameters(spec: RiskModelSpec, start: dt.datetime, end: dt.datetime) -> list[object]:
    # `same_transaction` lets the two times differ by a day.
    return [start - DAY, end + DAY + dt.timedelta(microseconds=1), spec.name, start, end]


def _rows(records: list[DecisionRecord]) -> "pa.Table":
    import pyarrow as pa

    columns = {name: [getattr(record, name) for record in records] for name in _NAMES}
    for name in ("occurred_at", "decided_at"):
        columns[name] = [value.astimezone(dt.UTC).replace(tzinfo=None) for value in columns[name]]
    columns["features"] = [
        None if record.features is None else msgspec.json.encode(record.features).decode() for record in records
    ]
    schema = {"occurred_at": pa.timestamp("us"), "decided_at": pa.timestamp("us"), "release_number": pa.int64(),
              "elapsed_us": pa.int64(), "margin": pa.float64(), "score": pa.float64()}  # fmt: skip
    return pa.table({name: pa.array(values, schema.get(name, pa.string())) for name, values in columns.items()})


def daily_decisions(warehouse: Warehouse, model: str, start: dt.date, end: dt.date) -> dict[dt.date, int]:
    """Decisions of a model by day of `occurred_at` in ``[start, end)``, of champion and canary together."""
    rows = warehouse.query(
        f"""
        select cast(occurred_at as date) as day, count(distinct decision_id) as row_count
        from {DECISIONS} as decisions
        where {is_answer("decisions")} and occurred_at >= ? and occurred_at < ?
        group by 1
        """,
        [model, midnight(start), midnight(end)],
    ).to_pylist()
    return {row["day"]: row["row_count"] for row in rows}


def is_answer(relation: str) -> str:
    """SQL: whether a row of decisions was returned to a caller; its parameter is the model."""
    slots = ", ".join(f"'{slot}'" for slot in ANSWERING)
    return f"{relation}.model = ? and {relation}.slot in ({slots}) and {relation}.error is null"


def same_transaction(spec: RiskModelSpec) -> str:
    """SQL: whether a decision (`decisions`) is about a row of the mart (`examples`).

    The identifiers are compared as texts: a caller's may be any text, and ``0012`` is not 12. A number that another
    system uses again names another transaction, so that the times may differ by a day at most.
    """
    columns = spec.columns
    occurred_at = f"examples.{columns.occurred_at}"
    return f"""cast(examples.{columns.id} as varchar) = decisions.transaction_id
            and {occurred_at} >= decisions.occurred_at - interval '1 day'
            and {occurred_at} <= decisions.occurred_at + interval '1 day'"""
