"""Loading files into the raw relations: checked, all or nothing, and nothing twice."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.interface import Queries, Session, Warehouse
from lifecycle.warehouse.loading.erased import KeyHash, leave_out_erased
from lifecycle.warehouse.loading.manifest import RowsOfFile, record, record_rejects, recorded_files, rejected_rows
from lifecycle.warehouse.loading.mapping import ColumnMapping, read_mapping, recognise
from lifecycle.warehouse.loading.quarantine import Quarantine
from lifecycle.warehouse.loading.source_files import Source, find_files, open_source
from lifecycle.warehouse.loading.staging import (
    STAGED,
    LoadRefusedError,
    Progress,
    key_problem,
    refuse_columns,
    reject_keys,
    stage,
)
from lifecycle.warehouse.loading.stale_days import DayRange, touched_days
from lifecycle.warehouse.loading.versions import add_versions, delete_known, insert_known, known_columns
from lifecycle.warehouse.raw_tables import RAW, RelationName, raw_definitions
from serving.storage.crash_points import crash_point

_REPORTS = "staged_reports"


@dataclass(frozen=True)
class RelationLoad:
    """Row counts of a load into one raw relation; ``rows_read == rows_inserted + rows_corrected + rows_known``."""

    relation: RelationName
    rows_read: int
    rows_inserted: int
    rows_known: int
    rows_corrected: int = 0
    """Rows added as later versions of known rows."""


@dataclass(frozen=True)
class LoadResult:
    """Result of a load.

    `touched` are the days of `occurred_at` whose features must be rebuilt; empty if nothing was inserted.
    """

    relation: RelationName
    source: str
    mapping: str
    files: int
    files_known: int
    rows_read: int
    rows_inserted: int
    rows_known: int
    rows_corrected: int
    rows_rejected: int
    """Rows left out, of files loaded earlier, too; they are not in `rows_read`."""
    rows_erased: int
    """Rows of erased customers that were left out; they are not in `rows_read`."""
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
    """Ignore the progress."""


def load(
    warehouse: Warehouse,
    relation: RelationName,
    path: Path,
    mapping_file: Path | None = None,
    progress: Progress = _silent,
    *,
    reject_to: Path | None = None,
    max_rejects: int = 0,
    key_hash: KeyHash | None = None,
) -> LoadResult:
    """Load a Parquet or CSV file, or a folder of them, into a raw relation.

    The load is atomic and idempotent: files that were loaded before are recognised by their digest and not read again,
    and known rows with the same content are skipped.

    Parameters
    ----------
    mapping_file
        YAML of a `ColumnMapping`; ``None`` selects a mapping by the file's column names.
    reject_to, max_rejects
        Leave out at most so many rows that violate a rule, and write them to this new file; by default, one such row
        refuses the load.
    key_hash
        Hash of the installation's erased customers; needed once there are any.

    Raises
    ------
    LoadRefusedError
        If the content violates a rule: columns, types, nulls, duplicate ids, amounts, reports before or without their
        transaction, or a known id with different content in a column that is never corrected.
    LifecycleError
        If a file or the mapping cannot be read, or the warehouse cannot be written.
    """
    Quarantine(reject_to, max_rejects)
    files = find_files(path)
    own_mapping = read_mapping(mapping_file) if mapping_file else None
    if own_mapping and own_mapping.relation != relation:
        raise LifecycleError(f"Expected a mapping of {relation}, got one of {own_mapping.relation} - in {mapping_file}")

    about_to_commit: list[LoadResult] = []

    def attempt() -> LoadResult:
        warehouse.ensure(raw_definitions(warehouse.dialect))
        with warehouse.session(f"loading {relation} from {path.name}", is_appending=True) as session:
            sources = [open_source(session.files, file) for file in files]
            mapping = own_mapping or recognise(relation, sources[0].columns)
            refuse_columns(sources, mapping)
            quarantine = Quarantine(reject_to, max_rejects)
            steps = _Load(session, mapping, warehouse.dialect.timestamp, progress, path, sources, quarantine, key_hash)
            return steps.run(about_to_commit)

    result = warehouse.retrying(attempt)
    crash_point("load.committed")
    return result


class _Load:
    """The steps of one load, in order."""

    def __init__(
        self,
        session: Session,
        mapping: ColumnMapping,
        timestamp: str,
        progress: Progress,
        path: Path,
        sources: Sequence[Source],
        quarantine: Quarantine,
        key_hash: KeyHash | None,
    ) -> None:
        self.session = session
        self.mapping = mapping
        self.timestamp = timestamp
        self.progress = progress
        self.path = path
        self.sources = sources
        self.quarantine = quarantine
        self.key_hash = key_hash
        self.rows_erased = 0
        self.recorded = recorded_files(session, mapping.digest, sources)
        """Rows by relation of each file that the manifest contains, by the file's digest."""
        self.fresh = [source for source in sources if source.file.digest not in self.recorded]
        """Files to load."""
        self.known: dict[RelationName, str] = {}
        """By relation, the scratch table of staged keys that the relation already contains."""
        self.recorded_meanwhile: set[str] = set()
        """Digests of fresh files that another process had recorded by the time of the transaction."""
        self.reported = ""
        """The scratch table of staged reports with their transactions."""
        self.rejected: tuple[int, ...] = ()
        """Ids of rejected rows that already have their derived rows."""

    def run(self, about_to_commit: list[LoadResult]) -> LoadResult:
        """Stage, check, insert and record the fresh files.

        The result is added to `about_to_commit` before the commit, whose response may be lost.
        """
        if not self.fresh and about_to_commit:
            # The previous attempt committed, and only the response to the commit was lost.
            return about_to_commit[-1]
        if not self.fresh:
            return self._result([RelationLoad(name, 0, 0, 0) for name in self.mapping.relations], ())
        staged = self._stage()
        with self.session.transaction(serial="loads"):
            # Another process may have loaded and recorded a file in the meantime; its rows are then known.
            self.recorded_meanwhile = set(recorded_files(self.session, self.mapping.digest, self.fresh))
            loads = [self._insert_relation(name, table) for name, table in staged.items()]
            record_rejects(self.session, self.mapping.relation, self.quarantine, self.recorded_meanwhile)
            self.quarantine.write()
            self.progress("checking", 1, 1)
            result = self._result(loads, self._touched(staged))
            about_to_commit.append(result)
        return result

    def _result(self, loads: Sequence[RelationLoad], touched: tuple[DayRange, ...]) -> LoadResult:
        loads = [_with_known(load, [rows.get(load.relation, 0) for rows in self.recorded.values()]) for load in loads]
        has_source = self.mapping.has_source
        left_out = dict.fromkeys(name for source in self.sources for name in source.columns if not has_source(name))
        return LoadResult(
            relation=self.mapping.relation,
            source=self.path.name,
            mapping=self.mapping.name,
            files=len(self.sources),
            files_known=len(self.sources) - len(self.fresh),
            rows_read=loads[0].rows_read,
            rows_inserted=loads[0].rows_inserted,
            rows_known=loads[0].rows_known,
            rows_corrected=loads[0].rows_corrected,
            rows_rejected=rejected_rows(self.session, self.sources),
            rows_erased=self.rows_erased,
            columns_left_out=tuple(left_out),
            derived=tuple(loads[1:]),
            touched=touched,
        )

    def _stage(self) -> dict[RelationName, str]:
        """Read the files and check rules that concern only them; returns each relation's table of fresh rows."""
        files = self.session.files
        stage(files, self.fresh, self.mapping, self.progress, self.quarantine)
        self.rows_erased = leave_out_erased(self.session, self.mapping.relation, STAGED, self.key_hash)
        crash_point("load.staged")
        self.progress("checking", 0, 1)
        relation = RAW[self.mapping.relation]
        identity = ", ".join(relation.identity)
        repeated = f"select {relation.key} from {STAGED} group by {identity} having count(*) > 1"
        expected = f"each {' with its '.join(relation.identity)} once"
        self._refuse(files, STAGED, repeated, expected, "of them more than once")
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
            name: self.session.scratch(f"known_{name}", known_columns(RAW[name], self.timestamp)) for name in tables
        }
        return {name: self.session.share(table) for name, table in tables.items()}

    def _insert_relation(self, name: RelationName, staged: str) -> RelationLoad:
        """Insert the new rows of `staged`; afterwards `staged` contains only those."""
        relation = RAW[name]
        if name == "fraud_reports":
            self._refuse_reports(staged)
        if name == "report_withdrawals":
            self._refuse_withdrawals(staged)
        self._find_known(name, staged)
        read = self._rows_by_file(staged, relation.event_at)
        corrected = 0
        if relation.corrected:
            corrected = add_versions(self.session, relation, staged, self.known[name])
            crash_point(f"load.corrected_{name}")
        self.session.execute(delete_known(relation, staged, self.known[name]))
        columns = ", ".join(relation.column_names)
        self.session.execute(f"insert into {relation.table} ({columns}) select {columns} from {staged}")
        crash_point(f"load.inserted_{name}")
        inserted = self._rows_by_file(staged, relation.event_at)
        record(self.session, self.mapping.digest, name, self.fresh, read, inserted, self.recorded_meanwhile)
        crash_point(f"load.recorded_{name}")
        rows_read = sum(rows for rows, _, _ in read.values())
        rows_inserted = sum(rows for rows, _, _ in inserted.values())
        return RelationLoad(name, rows_read, rows_inserted, rows_read - rows_inserted - corrected, corrected)

    def _find_known(self, name: RelationName, staged: str) -> None:
        """Find the staged rows that the relation contains; reject changes of columns that are never corrected."""
        relation, known = RAW[name], self.known[name]
        self.session.execute(insert_known(relation, staged, known))
        fixed = [column for column in relation.column_names if column not in (relation.key, *relation.corrected)]
        self._refuse(
            self.session,
            staged,
            f"select {relation.key} from {known} where is_version = 0",
            f"known rows of {name} to be unchanged in {', '.join(fixed)}",
            f"known {relation.key} with different content",
        )

    def _refuse_reports(self, staged: str) -> None:
        """Reject reports without or before their transaction; fills the scratch table `reported`."""
        transactions = RAW["card_transactions"].table
        if self.rejected:
            self.session.execute(f"delete from {staged} where transaction_id in ({', '.join(map(str, self.rejected))})")
        # One scan of all transactions, with the few reports as the hashed side of the join.
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
            staged,
            unknown,
            "reports of loaded transactions",
            "of unknown transactions",
            "Load the card_transactions first.",
        )
        expected, got = "reports from after their transaction", "from before their transaction"
        self._refuse(self.session, staged, early, expected, got)

    def _refuse_withdrawals(self, staged: str) -> None:
        """Reject withdrawals of transactions without a report before the earliest of them."""
        earliest = f"select transaction_id, min(withdrawn_at) as withdrawn_at from {staged} group by transaction_id"
        is_same = "r.transaction_id = s.transaction_id and r.reported_at <= s.withdrawn_at"
        reported = f"select 1 from {RAW['fraud_reports'].table} r where {is_same}"
        unreported = f"select s.transaction_id from ({earliest}) s where not exists ({reported})"
        expected, got = "withdrawals of loaded reports", "of transactions without an earlier report"
        self._refuse(self.session, staged, unreported, expected, got, "Load the fraud_reports first.")

    def _refuse(
        self, queries: Queries, staged: str, keys: str, expected: str, got: str, remedy: str | None = None
    ) -> None:
        """Reject the rows of `staged` that `keys` (SQL of one column, for `queries`) selects.

        Raises
        ------
        LoadRefusedError
            If the quarantine has no room for them.
        """
        files = self.session.files
        problem = key_problem(queries, files, self.fresh, self.mapping, staged, keys, expected=expected, got=got)
        if problem is None:
            return
        if remedy and not self.quarantine.room:
            raise LoadRefusedError([problem], remedy)
        self.rejected += reject_keys(queries, files, self.fresh, self.mapping, staged, keys, problem, self.quarantine)

    def _rows_by_file(self, staged: str, event_at: str | None) -> dict[int, RowsOfFile]:
        """Rows, first and last day by position of the file."""
        days = f"min({event_at})::date, max({event_at})::date" if event_at else "null::date, null::date"
        table = self.session.query(f"select _file, count(*), {days} from {staged} group by _file")
        return {
            file: (rows, first, last)
            for file, rows, first, last in zip(*(c.to_pylist() for c in table.columns), strict=True)
        }

    def _touched(self, staged: Mapping[RelationName, str]) -> tuple[DayRange, ...]:
        """Days whose features the inserted rows make stale."""
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
            reports = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        if "report_withdrawals" in staged:
            table = self.session.query(
                f"select distinct t.occurred_at::date as o, s.withdrawn_at::date as w from {transactions} t "
                f"join {staged['report_withdrawals']} s on s.transaction_id = t.transaction_id"
            )
            reports += zip(*(column.to_pylist() for column in table.columns), strict=True)
        if not occurred and not reports:
            return ()
        last_date = self.session.query(f"select max(occurred_at)::date from {transactions}").column(0)[0].as_py()
        return touched_days(occurred, reports, last_date)


def _with_known(load: RelationLoad, known: Sequence[int]) -> RelationLoad:
    """The load plus the rows of files that were loaded before and not read again."""
    rows = sum(known)
    return replace(load, rows_read=load.rows_read + rows, rows_known=load.rows_known + rows)
