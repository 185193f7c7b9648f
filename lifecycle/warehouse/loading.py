"""Loading files into the raw relations: checked, all or nothing, and nothing twice."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.crash_points import crash_point
from lifecycle.errors import LifecycleError
from lifecycle.warehouse.interface import Session, Warehouse
from lifecycle.warehouse.mapping import ColumnMapping, read_mapping, recognise
from lifecycle.warehouse.raw import LOADS_TABLE, RAW, RelationName, raw_ddl
from lifecycle.warehouse.source_files import Source, find_files, open_source
from lifecycle.warehouse.staging import (
    MEND_THE_FILE,
    STAGED,
    LoadRefusedError,
    Progress,
    key_problem,
    refuse_columns,
    stage,
)
from lifecycle.warehouse.touched import DayRange, touched_days

_REPORTS = "staged_reports"
_REPORTED = "reported_transactions"
_KNOWN = "known_rows"


@dataclass(frozen=True)
class RelationLoad:
    """What a load did to one raw relation; ``rows_read == rows_inserted + rows_known``."""

    relation: RelationName
    rows_read: int
    rows_inserted: int
    rows_known: int


@dataclass(frozen=True)
class LoadResult:
    """The answer of a load.

    `touched` are the days of `occurred_at` whose features must be built again; empty if nothing was inserted.
    """

    relation: RelationName
    source: str
    mapping: str
    files: int
    files_known: int
    rows_read: int
    rows_inserted: int
    rows_known: int
    columns_left_out: tuple[str, ...]
    derived: tuple[RelationLoad, ...]
    touched: tuple[DayRange, ...]

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types; dates as ISO text."""
        document = asdict(self)
        document["touched"] = [
            {"start_date": days.start_date.isoformat(), "end_date": days.end_date.isoformat()} for days in self.touched
        ]
        return document


def _silent(_step: str, _done: int, _total: int) -> None:
    """No progress wanted."""


def load(
    warehouse: Warehouse,
    relation: RelationName,
    path: Path,
    mapping_file: Path | None = None,
    progress: Progress = _silent,
) -> LoadResult:
    """Load a Parquet or CSV file, or a folder of them, into a raw relation.

    Everything takes effect at once or not at all. A file that was loaded before is known by its digest and not read
    again; a row that is known already with the same content is passed over.

    Parameters
    ----------
    mapping_file
        YAML of a `ColumnMapping`; ``None`` to recognise one from the file's column names.

    Raises
    ------
    LoadRefusedError
        If the content breaks a rule: columns, types, nulls, duplicate ids, amounts, reports before or without their
        transaction, or a known id with other content.
    LifecycleError
        If a file or the mapping cannot be read, or the warehouse cannot be written.
    """
    files = find_files(path)
    given = read_mapping(mapping_file) if mapping_file else None
    if given and given.relation != relation:
        raise LifecycleError(f"Expected a mapping of {relation}, got one of {given.relation} - in {mapping_file}")
    with warehouse.transaction(f"loading {relation} from {path.name}") as session:
        for statement in raw_ddl():
            session.execute(statement)
        sources = [open_source(session, file) for file in files]
        mapping = given or recognise(relation, sources[0].columns)
        refuse_columns(sources, mapping)
        result = _Load(session, mapping, progress).run(path, sources)
    crash_point("load.committed")
    return result


class _Load:
    """One load's steps, in order, within its transaction."""

    def __init__(self, session: Session, mapping: ColumnMapping, progress: Progress) -> None:
        self.session = session
        self.mapping = mapping
        self.progress = progress

    def run(self, path: Path, sources: Sequence[Source]) -> LoadResult:
        """Stage, check and insert what the manifest does not know; record it."""
        known = self._recorded(sources)
        fresh = [source for source in sources if source.file.digest not in known]
        loads = self._insert(fresh) if fresh else [RelationLoad(name, 0, 0, 0) for name in self.mapping.relations]
        touched = self._touched() if fresh else ()
        loads = [_with_known(load, [rows.get(load.relation, 0) for rows in known.values()]) for load in loads]
        used = self.mapping.source_columns
        left_out = dict.fromkeys(name for source in sources for name in source.columns if name not in used)
        return LoadResult(
            relation=self.mapping.relation,
            source=path.name,
            mapping=self.mapping.name,
            files=len(sources),
            files_known=len(sources) - len(fresh),
            rows_read=loads[0].rows_read,
            rows_inserted=loads[0].rows_inserted,
            rows_known=loads[0].rows_known,
            columns_left_out=tuple(left_out),
            derived=tuple(loads[1:]),
            touched=touched,
        )

    def _recorded(self, sources: Sequence[Source]) -> dict[str, dict[RelationName, int]]:
        """Rows by relation of each file that was loaded before with this mapping, by its digest."""
        digests = {source.file.digest for source in sources}
        rows = self.session.query(
            f"select content_digest, relation, rows from {LOADS_TABLE} where mapping_digest = ?", [self.mapping.digest]
        ).to_pylist()
        recorded: dict[str, dict[RelationName, int]] = {}
        for row in rows:
            if row["content_digest"] in digests:
                recorded.setdefault(row["content_digest"], {})[row["relation"]] = row["rows"]
        return recorded

    def _insert(self, sources: Sequence[Source]) -> list[RelationLoad]:
        stage(self.session, sources, self.mapping, self.progress)
        crash_point("load.staged")
        self.progress("checking", 0, 1)
        self._refuse_duplicates(sources)
        reports = self.mapping.derived.fraud_reports
        if reports:
            self.session.execute(
                f"create temp table {_REPORTS} as select _file, transaction_id, "
                f"occurred_at + to_days({reports.delay_days}) as reported_at from {STAGED} where _is_reported"
            )
        loads = [self._insert_relation(self.mapping.relation, STAGED, sources)]
        if reports:
            loads.append(self._insert_relation("fraud_reports", _REPORTS, sources))
        self.progress("checking", 1, 1)
        return loads

    def _refuse_duplicates(self, sources: Sequence[Source]) -> None:
        key = RAW[self.mapping.relation].key
        repeated = f"select {key} from {STAGED} group by {key} having count(*) > 1"
        self._refuse(
            sources, STAGED, repeated, expected=f"each {key} once", got="of them more than once", remedy=MEND_THE_FILE
        )

    def _insert_relation(self, name: RelationName, staged: str, sources: Sequence[Source]) -> RelationLoad:
        """Insert the rows of `staged` that are not known; afterwards `staged` holds only those."""
        relation = RAW[name]
        read = self._rows_by_file(staged, relation.event_at)
        if name == "fraud_reports":
            self._refuse_reports(staged, sources)
        self._pass_over_known(name, staged, sources)
        columns = ", ".join(relation.column_names)
        self.session.execute(f"insert into {relation.table} ({columns}) select {columns} from {staged}")
        crash_point(f"load.inserted_{name}")
        inserted = self._rows_by_file(staged, relation.event_at)
        self._record(name, sources, read, inserted)
        crash_point(f"load.recorded_{name}")
        rows_read = sum(rows for rows, _, _ in read.values())
        rows_inserted = sum(rows for rows, _, _ in inserted.values())
        return RelationLoad(name, rows_read, rows_inserted, rows_read - rows_inserted)

    def _pass_over_known(self, name: RelationName, staged: str, sources: Sequence[Source]) -> None:
        """Drop the rows of `staged` that the relation holds already; refuse those it holds with other content."""
        relation = RAW[name]
        key = relation.key
        others = [column for column in relation.column_names if column != key]
        is_same = " and ".join(f"s.{column} = r.{column}" for column in others)
        self.session.execute(f"drop table if exists {_KNOWN}")
        self.session.execute(
            f"create temp table {_KNOWN} as select s.{key}, {is_same} as is_same from {staged} s "
            f"join (select * from {relation.table} where {key} between (select min({key}) from {staged}) "
            f"and (select max({key}) from {staged})) r on r.{key} = s.{key}"
        )
        self._refuse(
            sources,
            staged,
            f"select {key} from {_KNOWN} where not is_same",
            expected=f"known rows of {name} to come again unchanged",
            got=f"known {key} with other content",
            remedy="A loaded row is never changed: correct the file, or give the new rows new ids.",
        )
        self.session.execute(f"delete from {staged} where {key} in (select {key} from {_KNOWN})")

    def _refuse_reports(self, staged: str, sources: Sequence[Source]) -> None:
        """Refuse reports without their transaction, or from before it; `_REPORTED` keeps each with its transaction."""
        transactions = RAW["card_transactions"].table
        # One pass over all transactions, with the few reports as the join's hashed side.
        self.session.execute(
            f"create temp table {_REPORTED} as select s.transaction_id, s.reported_at, t.occurred_at "
            f"from {transactions} t join {staged} s on s.transaction_id = t.transaction_id "
            f"where t.transaction_id between (select min(transaction_id) from {staged}) "
            f"and (select max(transaction_id) from {staged})"
        )
        unknown = (
            f"select transaction_id from {staged} where transaction_id not in (select transaction_id from {_REPORTED})"
        )
        early = f"select transaction_id from {_REPORTED} where reported_at < occurred_at"
        self._refuse(
            sources,
            staged,
            unknown,
            expected="reports of transactions that are loaded",
            got="of transactions that are not known",
            remedy="Load the card_transactions first.",
        )
        self._refuse(
            sources,
            staged,
            early,
            expected="reports from after their transaction",
            got="reported before it happened",
            remedy=MEND_THE_FILE,
        )

    def _refuse(
        self, sources: Sequence[Source], staged: str, keys: str, *, expected: str, got: str, remedy: str
    ) -> None:
        """Raise `LoadRefusedError` if `keys` (SQL of one column) names any row of `staged`."""
        problem = key_problem(self.session, sources, self.mapping, staged, keys, expected=expected, got=got)
        if problem is not None:
            raise LoadRefusedError([problem], remedy)

    def _rows_by_file(self, staged: str, event_at: str | None) -> dict[int, tuple[int, dt.date | None, dt.date | None]]:
        """Rows, first and last day by position of the file."""
        days = f"min({event_at})::date, max({event_at})::date" if event_at else "null::date, null::date"
        table = self.session.query(f"select _file, count(*), {days} from {staged} group by _file")
        return {
            file: (rows, first, last)
            for file, rows, first, last in zip(*(c.to_pylist() for c in table.columns), strict=True)
        }

    def _record(
        self,
        name: RelationName,
        sources: Sequence[Source],
        read: dict[int, tuple[int, dt.date | None, dt.date | None]],
        inserted: dict[int, tuple[int, dt.date | None, dt.date | None]],
    ) -> None:
        """One row a file into the manifest."""
        import pyarrow as pa

        loaded_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        none = (0, None, None)
        days = [read.get(position, none) for position in range(len(sources))]
        columns = {
            "relation": [name] * len(sources),
            "content_digest": [source.file.digest for source in sources],
            "mapping_digest": [self.mapping.digest] * len(sources),
            "source_name": [source.file.name for source in sources],
            "rows": [rows for rows, _, _ in days],
            "rows_inserted": [inserted.get(position, none)[0] for position in range(len(sources))],
            "first_day": pa.array([first_day for _, first_day, _ in days], pa.date32()),
            "last_day": pa.array([last_day for _, _, last_day in days], pa.date32()),
            "loaded_at": [loaded_at] * len(sources),
        }
        self.session.append(LOADS_TABLE, pa.table(columns))

    def _touched(self) -> tuple[DayRange, ...]:
        """Days that the rows left in the staged tables make out of date."""
        relations = self.mapping.relations
        transactions = RAW["card_transactions"].table
        occurred: list[dt.date] = []
        reports: list[tuple[dt.date, dt.date]] = []
        if "card_transactions" in relations:
            days = self.session.query(f"select distinct occurred_at::date from {STAGED}")
            occurred = days.column(0).to_pylist()
        if "fraud_reports" in relations:
            staged = STAGED if self.mapping.relation == "fraud_reports" else _REPORTS
            table = self.session.query(
                f"select distinct occurred_at::date as o, reported_at::date as r from {_REPORTED} "
                f"where transaction_id in (select transaction_id from {staged})"
            )
            reports = list(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
        if not occurred and not reports:
            return ()
        last_date = self.session.query(f"select max(occurred_at)::date from {transactions}").column(0)[0].as_py()
        return touched_days(occurred, reports, last_date)


def _with_known(load: RelationLoad, known: Sequence[int]) -> RelationLoad:
    """The same load with the rows of the files that were not read again."""
    rows = sum(known)
    return RelationLoad(load.relation, load.rows_read + rows, load.rows_inserted, load.rows_known + rows)
