"""Loads the server's decision log into the warehouse, each record once, and reads it."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Definition, Dialect, Warehouse
from lifecycle.warehouse.reading.examples import MARTS, midnight
from serving.contract.documents import DecisionRecord, SlotName
from serving.log.segments import read_records
from serving.storage.crash_points import crash_point

if TYPE_CHECKING:
    import pyarrow as pa

DECISIONS = "raw.decisions"
OFFSETS = "raw.decision_log_offsets"
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
    """Definitions of the tables of decisions and of the positions reached in the log."""
    columns = _COLUMNS.format(timestamp=dialect.timestamp)
    return (
        Definition("raw", "create schema if not exists raw"),
        Definition(DECISIONS, f"create table if not exists {DECISIONS} ({columns})"),
        Definition(
            OFFSETS,
            f"create table if not exists {OFFSETS} (segment varchar not null, next_offset bigint not null)",
        ),
    )


class LoadedDecisions(msgspec.Struct, frozen=True):
    """Result of one load of the decision log."""

    read: int
    inserted: int

    @property
    def repeated(self) -> int:
        """Records of decisions that were loaded before, or occur more than once in the log."""
        return self.read - self.inserted


def load_decisions(warehouse: Warehouse, log: Path) -> LoadedDecisions:
    """Load the log's new records atomically; of repeated records the first is kept.

    A shadow's record and a failed attempt are stored in addition. Rejections are skipped: they decide nothing.

    The transaction stores the position in each segment with the rows, so that a crash at any point neither repeats
    nor loses a record.
    """
    return warehouse.retrying(lambda: _load(warehouse, log))


def _load(warehouse: Warehouse, log: Path) -> LoadedDecisions:
    warehouse.ensure(decision_definitions(warehouse.dialect))
    with warehouse.session("loading the decision log") as session:
        known = session.query(f"select segment, next_offset from {OFFSETS}").to_pylist()
        reached = {row["segment"]: row["next_offset"] for row in known}
        offsets = dict(reached)
        first: dict[tuple[str, str, bool, bool], DecisionRecord] = {}
        read = 0
        for entry in read_records(log, reached):
            offsets[entry.segment] = entry.end
            record = entry.record
            if isinstance(record, DecisionRecord):
                read += 1
                # A repeat after another release may come from another slot and is the same decision. A failed attempt
                # is not a decision: a later success under the same id counts.
                key = (record.model, record.decision_id, record.slot == "shadow", record.error is None)
                first.setdefault(key, record)
        if offsets == reached:
            return LoadedDecisions(0, 0)
        arrived = session.scratch("arrived", _COLUMNS.format(timestamp=warehouse.dialect.timestamp))
        session.append(arrived, _rows(list(first.values())))
        # Another process may have loaded some of these decisions in the meantime.
        new = f"""
            from {arrived} as arrived where not exists (
                select 1 from {DECISIONS} as known where known.model = arrived.model
                and known.decision_id = arrived.decision_id
                and (known.slot = 'shadow') = (arrived.slot = 'shadow')
                and (known.error is null) = (arrived.error is null)
            )"""
        columns = ", ".join(_NAMES)
        with session.transaction(serial="decisions"):
            inserted = session.query(f"select count(*) as row_count {new}").to_pylist()[0]["row_count"]
            session.execute(f"insert into {DECISIONS} ({columns}) select {columns} {new}")
            crash_point("decisions.inserted")
            session.execute(f"delete from {OFFSETS}")
            session.append(OFFSETS, _offset_rows(offsets))
    return LoadedDecisions(read, inserted)


def read_decisions(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date | None = None
) -> "pa.Table":
    """Decisions on events of ``[start, end)``, with outcomes reported before `as_of` if it is given.

    Columns: decision_id, slot (champion or canary), entity (as in the raw data), occurred_at, amount, bundle_digest,
    features (JSON), margin, score, decision, reported_at. Errors are excluded.
    """
    columns = spec.columns
    known_until = midnight(as_of or dt.date(1970, 1, 1))
    return warehouse.query(
        f"""
        select
            decisions.decision_id, decisions.slot, examples.{columns.entity} as entity, decisions.occurred_at,
            examples.{columns.amount} as amount, decisions.bundle_digest, decisions.features, decisions.margin,
            decisions.score, decisions.decision, outcomes.{spec.label.reported_at} as reported_at
        from {DECISIONS} as decisions
        inner join {MARTS}.{spec.mart} as examples
            on cast(examples.{columns.transaction} as varchar) = decisions.transaction_id
        left join {MARTS}.{spec.label.relation} as outcomes
            on outcomes.{columns.transaction} = examples.{columns.transaction}
            and outcomes.{spec.label.reported_at} < ?
        where decisions.model = ? and decisions.slot in ({_marks()}) and decisions.error is null
            and decisions.occurred_at >= ? and decisions.occurred_at < ?
        order by decisions.occurred_at, decisions.decision_id
        """,
        [known_until, spec.name, *ANSWERING, midnight(start), midnight(end)],
    )


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


def _offset_rows(offsets: dict[str, int]) -> "pa.Table":
    import pyarrow as pa

    return pa.table(
        {"segment": pa.array(list(offsets), pa.string()), "next_offset": pa.array(list(offsets.values()), pa.int64())}
    )


def daily_decisions(warehouse: Warehouse, model: str, start: dt.date, end: dt.date) -> dict[dt.date, int]:
    """Decisions of a model by day of `occurred_at` in ``[start, end)``, of champion and canary together."""
    rows = warehouse.query(
        f"""
        select cast(occurred_at as date) as day, count(distinct decision_id) as row_count
        from {DECISIONS}
        where model = ? and slot in ({_marks()}) and error is null and occurred_at >= ? and occurred_at < ?
        group by 1
        """,
        [model, *ANSWERING, midnight(start), midnight(end)],
    ).to_pylist()
    return {row["day"]: row["row_count"] for row in rows}


def _marks() -> str:
    return ", ".join("?" * len(ANSWERING))
