"""Loading files into the raw relations: checked, all or nothing, and nothing twice."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.interface import Queries, Session, Warehouse
from lifecycle.warehouse.loading.erased import KeyHash, leave_out_erased
from lifecycle.warehouse.loading.manifest import RowsOfFile, record, record_rejects, recorded_files, rejected_rows
from lifecycle.warehouse.loading.mapping import ColumnMapping, read_mapping, recognise
from lifecycle.warehouse.loading.quarantine import Quarantine
from lifecycle.warehouse.loading.references import References, references_of
from lifecycle.warehouse.loading.source_files import Source, find_files, open_source
from lifecycle.warehouse.loading.staging import (
    STAGED,
    Key,
    LoadRefusedError,
    Progress,
    delete_keys,
    flag_of,
    key_problem,
    refuse_columns,
    reject_keys,
    stage,
)
from lifecycle.warehouse.loading.stale_days import DayRange, touched_days
from lifecycle.warehouse.loading.versions import add_versions, delete_known, insert_known, known_columns
from lifecycle.warehouse.raw_tables import Declarations, RawRelation, declarations, raw_definitions
from serving.storage.crash_points import crash_point


@dataclass(frozen=True)
class RelationLoad:
    """Row counts of a load into one raw relation; ``rows_read == rows_inserted + rows_corrected + rows_known``."""

    relation: str
    rows_read: int
    rows_inserted: int
    rows_known: int
    rows_corrected: int = 0
    """Rows added as later versions of known rows."""


@dataclass(frozen=True)
class LoadResult:
    """Result of a load.

    `touched` are the days of events whose features must be rebuilt; empty if nothing was inserted.
    """

    relation: str
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
    """Rows of erased persons that were left out; they are not in `rows_read`."""
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
    relation: str,
    path: Path,
    mapping_file: Path | None = None,
    progress: Progress = _silent,
    *,
    reject_to: Path | None = None,
    max_rejects: int = 0,
    key_hash: KeyHash | None = None,
    declared: Declarations | None = None,
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
        Hash of the installation's erased persons; needed once there are any.
    declared
        The raw tables; by default those of the installation.

    Raises
    ------
    LoadRefusedError
        If the content violates a rule: columns, types, nulls, duplicate ids, bounds, rows before or without the row
        that they refer to, or a known id with different content in a column that is never corrected.
    LifecycleError
        If no such table is declared, a file or the mapping cannot be read, the warehouse's table is not the declared
        one, or the warehouse cannot be written.
    """
    Quarantine(reject_to, max_rejects)
    declared = declared or declarations()
    table = declared.table(relation)
    files = find_files(path)
    own_mapping = read_mapping(mapping_file, declared) if mapping_file else None
    if own_mapping and own_mapping.relation != relation:
        raise LifecycleError(f"Expected a mapping of {relation}, got one of {own_mapping.relation} - in {mapping_file}")

    about_to_commit: list[LoadResult] = []

    def attempt() -> LoadResult:
        warehouse.ensure(raw_definitions(warehouse.dialect, declared))
        _expect_declared_columns(warehouse, table)
        with warehouse.session(f"loading {relation} from {path.name}", is_appending=True) as session:
            sources = [open_source(session.files, file) for file in files]
            mapping = own_mapping or recognise(relation, sources[0].columns, declared)
            refuse_columns(sources, mapping)
            quarantine = Quarantine(reject_to, max_rejects)
            timestamp = warehouse.dialect.timestamp
            steps = _Load(session, declared, mapping, timestamp, progress, path, sources, quarantine, key_hash)
            return steps.run(about_to_commit)

    result = warehouse.retrying(attempt)
    crash_point("load.committed")
    return result


def _expect_declared_columns(warehouse: Warehouse, table: RawRelation) -> None:
    """Check that the warehouse's table has the declared columns.

    Raises
    ------
    LifecycleError
        If the declaration was changed after the table was made.
    """
    present = set(warehouse.columns(table.table))
    missing = [name for name in table.column_names if name not in present]
    surplus = sorted(present - set(table.column_names))
    if missing or surplus:
        raise LifecycleError(
            f"Expected {table.table} to have the declared columns, missing {missing}, not declared {surplus}: its "
            "declaration has changed since it was made. Alter the table, or declare the new columns in a table of "
            f"another name - in {table.path}"
        )


class _Load:
    """The steps of one load, in order."""

    def __init__(
        self,
        session: Session,
        declared: Declarations,
        mapping: ColumnMapping,
        timestamp: str,
        progress: Progress,
        path: Path,
        sources: Sequence[Source],
        quarantine: Quarantine,
        key_hash: KeyHash | None,
    ) -> None:
        self.session = session
        self.declared = declared
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
        self.known: dict[str, str] = {}
        """By relation, the scratch table of staged keys that the relation already contains."""
        self.recorded_meanwhile: set[str] = set()
        """Digests of fresh files that another process had recorded by the time of the transaction."""
        self.references: dict[str, References] = {}
        """By relation, the rows of another table that its rows refer to."""
        self.rejected: tuple[Key, ...] = ()
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
            result = self._result(loads, touched_days(self.session, self.declared, staged))
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

    def _stage(self) -> dict[str, str]:
        """Read the files and check rules that concern only them; returns each relation's table of fresh rows."""
        files = self.session.files
        stage(files, self.fresh, self.mapping, self.progress, self.quarantine)
        relation = self.mapping.table
        self.rows_erased = leave_out_erased(self.session, self.declared, relation, STAGED, self.key_hash)
        crash_point("load.staged")
        self.progress("checking", 0, 1)
        identity = ", ".join(relation.identity)
        repeated = f"select {relation.key} from {STAGED} group by {identity} having count(*) > 1"
        expected = f"each {' with its '.join(relation.identity)} once"
        self._refuse(files, STAGED, repeated, expected, "of them more than once")
        tables: dict[str, str] = {relation.name: STAGED}
        for name, rows in self.mapping.derived.items():
            derived = self.declared.tables[name]
            tables[name] = f"staged_{name}"
            files.execute(
                f"create temp table {tables[name]} as select _file, {derived.key}, "
                f"{relation.event_at} + to_days({rows.delay_days}) as {derived.event_at} "
                f"from {STAGED} where {flag_of(name)}"
            )
        for name in tables:
            found = references_of(self.session, self.declared, self.declared.tables[name], self.timestamp)
            if found is not None:
                self.references[name] = found
            columns = known_columns(self.declared.tables[name], self.timestamp)
            self.known[name] = self.session.scratch(f"known_{name}", columns)
        return {name: self.session.share(table) for name, table in tables.items()}

    def _insert_relation(self, name: str, staged: str) -> RelationLoad:
        """Insert the new rows of `staged`; afterwards `staged` contains only those."""
        relation = self.declared.tables[name]
        if name in self.references:
            if self.rejected:
                delete_keys(self.session, staged, relation.key, self.rejected)
            self.references[name].refuse(self.session, staged, partial(self._refuse, self.session))
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

    def _find_known(self, name: str, staged: str) -> None:
        """Find the staged rows that the relation contains; reject changes of columns that are never corrected."""
        relation, known = self.declared.tables[name], self.known[name]
        self.session.execute(insert_known(relation, staged, known))
        fixed = [column for column in relation.column_names if column not in (relation.key, *relation.corrected)]
        self._refuse(
            self.session,
            staged,
            f"select {relation.key} from {known} where is_version = 0",
            f"known rows of {name} to be unchanged in {', '.join(fixed)}",
            f"known {relation.key} with different content",
        )

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


def _with_known(load: RelationLoad, known: Sequence[int]) -> RelationLoad:
    """The load plus the rows of files that were loaded before and not read again."""
    rows = sum(known)
    return replace(load, rows_read=load.rows_read + rows, rows_known=load.rows_known + rows)
