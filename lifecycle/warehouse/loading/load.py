"""Loading files into the raw relations: checked, all or nothing, and nothing twice."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.interface import Queries, Session, Warehouse
from lifecycle.warehouse.loading.manifest import RowsOfFile, record, recorded_files
from lifecycle.warehouse.loading.mapping import ColumnMapping, read_mapping, recognise
from lifecycle.warehouse.loading.source_files import Source, find_files, open_source
from lifecycle.warehouse.loading.staging import (
    MEND_THE_FILE,
    STAGED,
    LoadRefusedError,
    Progress,
    key_problem,
    refuse_columns,
    stage,
)
from lifecycle.warehouse.loading.stale_days import DayRange, touched_days
from lifecycle.warehouse.raw_tables import RAW, RelationName, raw_definitions
from serving.storage.crash_points import crash_point

_REPORTS = "staged_reports"


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

    about_to_commit: list[LoadResult] = []

    def attempt() -> LoadResult:
        warehouse.ensure(raw_definitions(warehouse.dialect))
        with warehouse.session(f"loading {relation} from {path.name}") as session:
            sources = [open_source(session.files, file) for file in files]
            mapping = given or recognise(relation, sources[0].columns)
            refuse_columns(sources, mapping)
            return _Load(session, mapping, warehouse.dialect.timestamp, progress).run(path, sources, about_to_commit)

    result = warehouse.retrying(attempt)
    crash_point("load.committed")
    return result


class _Load:
    """One load's steps, in order."""

    def __init__(self, session: Session, mapping: ColumnMapping, timestamp: str, progress: Progress) -> None:
        self.session = session
        self.mapping = mapping
        self.timestamp = timestamp
        self.progress = progress
        self.known: dict[RelationName, str] = {}
        """By relation, the scratch table of staged keys that it holds already."""
        self.recorded_meanwhile: set[str] = set()
        """Digests of fresh files that were in the manifest by the time of the transaction."""
        self.reported = ""
        """The scratch table of staged reports with their transactions."""

    def run(self, path: Path, sources: Sequence[Source], about_to_commit: list[LoadResult]) -> LoadResult:
        """Stage, check and insert what the manifest does not know; record it.

        What it will answer is added to `about_to_commit` before the commit, whose answer may be lost.
        """
        known = recorded_files(self.session, self.mapping.digest, sources)
        fresh = [source for source in sources if source.file.digest not in known]
        if not fresh and about_to_commit:
            # The attempt before did commit, and only the answer to it was lost.
            return about_to_commit[-1]
        if not fresh:
            loads = [RelationLoad(name, 0, 0, 0) for name in self.mapping.relations]
            return self._result(path, sources, fresh, known, loads, ())
        staged = self._stage(fresh)
        with self.session.transaction(serial="loads"):
            # Another process may have loaded a file meanwhile: its rows are known then, and it is recorded.
            self.recorded_meanwhile = set(recorded_files(self.session, self.mapping.digest, fresh))
            loads = self._insert(fresh, staged)
            result = self._result(path, sources, fresh, known, loads, self._touched(staged))
            about_to_commit.append(result)
        return result

    def _result(
        self,
        path: Path,
        sources: Sequence[Source],
        fresh: Sequence[Source],
        known: Mapping[str, Mapping[RelationName, int]],
        loads: Sequence[RelationLoad],
        touched: tuple[DayRange, ...],
    ) -> LoadResult:
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

    def _stage(self, sources: Sequence[Source]) -> dict[RelationName, str]:
        """Read the files and check what needs only them; each relation's table of fresh rows, by its name."""
        files = self.session.files
        stage(files, sources, self.mapping, self.progress)
        crash_point("load.staged")
        self.progress("checking", 0, 1)
        self._refuse_duplicates(sources)
        tables: dict[RelationName, str] = {self.mapping.relation: STAGED}
        reports = self.mapping.derived.fraud_reports
        if reports:
            files.execute(
                f"create temp table {_REPORTS} as select _file, transaction_id, "
                f"occurred_at + to_days({reports.delay_days}) as reported_at from {STAGED} where _is_reported"
            )
            tables["fraud_reports"] = _REPORTS
        if "fraud_reports" in tables:
            timestamp = self.timestamp
            columns = f"transaction_id bigint, reported_at {timestamp}, occurred_at {timestamp}"
            self.reported = self.session.scratch("reported_transactions", columns)
        self.known = {
            name: self.session.scratch(f"known_{name}", f"{RAW[name].key} bigint, is_same boolean") for name in tables
        }
        return {name: self.session.share(table) for name, table in tables.items()}

    def _insert(self, sources: Sequence[Source], staged: Mapping[RelationName, str]) -> list[RelationLoad]:
        loads = [self._insert_relation(name, table, sources) for name, table in staged.items()]
        self.progress("checking", 1, 1)
        return loads

    def _refuse_duplicates(self, sources: Sequence[Source]) -> None:
        key = RAW[self.mapping.relation].key
        repeated = f"select {key} from {STAGED} group by {key} having count(*) > 1"
        self._refuse(
            self.session.files,
            sources,
            STAGED,
            repeated,
            expected=f"each {key} once",
            got="of them more than once",
            remedy=MEND_THE_FILE,
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
        record(self.session, self.mapping.digest, name, sources, read, inserted, self.recorded_meanwhile)
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
        known = self.known[name]
        self.session.execute(
            f"insert into {known} select s.{key}, {is_same} as is_same from {staged} s "
            f"join (select * from {relation.table} where {key} between (select min({key}) from {staged}) "
            f"and (select max({key}) from {staged})) r on r.{key} = s.{key}"
        )
        self._refuse(
            self.session,
            sources,
            staged,
            f"select {key} from {known} where not is_same",
            expected=f"known rows of {name} to come again unchanged",
            got=f"known {key} with other content",
            remedy="A loaded row is never changed: correct the file, or give the new rows new ids.",
        )
        self.session.execute(f"delete from {staged} where {key} in (select {key} from {known})")

    def _refuse_reports(self, staged: str, sources: Sequence[Source]) -> None:
        """Refuse reports without their transaction, or from before it; `_REPORTED` keeps each with its transaction."""
        transactions = RAW["card_transactions"].table
        # One pass over all transactions, with the few reports as the join's hashed side.
        self.session.execute(
            f"insert into {self.reported} select s.transaction_id, s.reported_at, t.occurred_at "
            f"from {transactions} t join {staged} s on s.transaction_id = t.transaction_id "
            f"where t.transaction_id between (select min(transaction_id) from {staged}) "
            f"and (select max(transaction_id) from {staged})"
        )
        known = f"select transaction_id from {self.reported}"
        unknown = f"select transaction_id from {staged} where transaction_id not in ({known})"
        early = f"select transaction_id from {self.reported} where reported_at < occurred_at"
        self._refuse(
            self.session,
            sources,
            staged,
            unknown,
            expected="reports of transactions that are loaded",
            got="of transactions that are not known",
            remedy="Load the card_transactions first.",
        )
        self._refuse(
            self.session,
            sources,
            staged,
            early,
            expected="reports from after their transaction",
            got="reported before it happened",
            remedy=MEND_THE_FILE,
        )

    def _refuse(
        self,
        queries: Queries,
        sources: Sequence[Source],
        staged: str,
        keys: str,
        *,
        expected: str,
        got: str,
        remedy: str,
    ) -> None:
        """Raise `LoadRefusedError` if `keys` (SQL of one column, for `queries`) names any row of `staged`."""
        files = self.session.files
        problem = key_problem(queries, files, sources, self.mapping, staged, keys, expected=expected, got=got)
        if problem is not None:
            raise LoadRefusedError([problem], remedy)

    def _rows_by_file(self, staged: str, event_at: str | None) -> dict[int, RowsOfFile]:
        """Rows, first and last day by position of the file."""
        days = f"min({event_at})::date, max({event_at})::date" if event_at else "null::date, null::date"
        table = self.session.query(f"select _file, count(*), {days} from {staged} group by _file")
        return {
            file: (rows, first, last)
            for file, rows, first, last in zip(*(c.to_pylist() for c in table.columns), strict=True)
        }

    def _touched(self, staged: Mapping[RelationName, str]) -> tuple[DayRange, ...]:
        """Days that the rows left in the staged tables make out of date."""
        transactions = RAW["card_transactions"].table
        occurred: list[dt.date] = []
        reports: list[tuple[dt.date, dt.date]] = []
        if "card_transactions" in staged:
            days = self.session.query(f"select distinct occurred_at::date from {staged['card_transactions']}")
            occurred = days.column(0).to_pylist()
        if "fraud_reports" in staged:
            table = self.session.query(
                f"select distinct occurred_at::date as o, reported_at::date as r from {self.reported} "
                f"where transaction_id in (select transaction_id from {staged['fraud_reports']})"
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
