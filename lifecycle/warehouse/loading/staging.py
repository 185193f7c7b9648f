"""Reads files once into a typed temporary table and counts every fault of their values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.interface import Queries
from lifecycle.warehouse.loading.mapping import ColumnMapping, nearest
from lifecycle.warehouse.loading.quarantine import Quarantine
from lifecycle.warehouse.loading.source_files import Source, reading
from lifecycle.warehouse.loading.value_checks import FLAG, Cast, cast_column, expected_of, quoted
from lifecycle.warehouse.raw_tables import RAW, Column

STAGED = "staged_rows"
"""Temporary table: `_file` (position in the load), the raw columns, `_is_reported` where reports are derived."""
EXAMPLES = 5
KEYS_LOOKED_UP = 1000
"""If many rows violate a rule, examples are searched among those with the lowest keys."""

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, the number of completed parts, and the total."""


@dataclass(frozen=True)
class Problem:
    """One rule that a file violates: how often, and example row numbers (from 1, without the header)."""

    expected: str
    got: str
    where: str
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.rows:
            return f"Expected {self.expected}, got {self.got} - in {self.where}"
        rows = ", ".join(f"{row:,}" for row in self.rows)
        return f"Expected {self.expected}, got {self.got} - in {self.where}, for example row {rows}"


class LoadRefusedError(LifecycleError):
    """A load was rejected as a whole; `problems` gives the reasons, without any value of a row."""

    def __init__(self, problems: Sequence[Problem], remedy: str) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([*map(str, problems), f"Nothing was loaded. {remedy}"]))


def refuse_columns(sources: Sequence[Source], mapping: ColumnMapping) -> None:
    """Raise `LoadRefusedError` if a file lacks a mapped column, or a column's type cannot be converted."""
    problems = []
    for source in sources:
        missing = [name for name in mapping.source_columns if source.find(name) is None]
        spare = [name for name in source.columns if not mapping.has_source(name)]
        for name in missing:
            got = f"no such column{nearest(name, spare)}"
            problems.append(Problem(f"a column {name} (mapping {mapping.name})", got, source.file.name))
        for name, target in _targets(mapping):
            column = source.find(name)
            if column is None or _cast(source, mapping, column, target):
                continue
            got = f"a column of type {source.columns[column]}"
            problems.append(Problem(f"{expected_of(target)} in column {name}", got, source.file.name))
    if problems:
        raise LoadRefusedError(problems, "Fix the file, or map its columns with --mapping FILE.")


def stage(
    session: Queries, sources: Sequence[Source], mapping: ColumnMapping, progress: Progress, quarantine: Quarantine
) -> None:
    """Read every source into `STAGED`, but for faulty rows that the quarantine takes.

    Raises
    ------
    LifecycleError
        If a file does not parse (truncated, torn lines).
    LoadRefusedError
        If values are null, of the wrong type or out of range; reports every violated rule with its count.
    """
    relation = RAW[mapping.relation]
    columns = [f"{column.name} {column.type}" for column in relation.columns]
    reported = ["_is_reported boolean"] if mapping.derived.fraud_reports else []
    session.execute(
        f"create temp table {STAGED} ({', '.join(['_file integer', *columns, *reported, '_faults bigint'])})"
    )
    for position, source in enumerate(sources):
        progress("reading", position, len(sources))
        casts = _casts(source, mapping)
        values = ", ".join(cast.value for cast in casts)
        with reading(source.file):
            session.execute(f"insert into {STAGED} select {position}, {values}, {_mask(casts)} from {source.scan}")
        source.file.refuse_if_changed()
    progress("reading", len(sources), len(sources))
    problems = _value_problems(session, sources, mapping)
    if not problems:
        return
    faulty = _single(session, f"select count(*) from {STAGED} where _faults <> 0")
    if faulty > quarantine.room:
        raise LoadRefusedError(problems, quarantine.remedy(faulty))
    _reject_faulty(session, sources, mapping, quarantine)


def _reject_faulty(session: Queries, sources: Sequence[Source], mapping: ColumnMapping, quarantine: Quarantine) -> None:
    positions = session.query(f"select distinct _file from {STAGED} where _faults <> 0 order by 1").column(0)
    for position in positions.to_pylist():
        casts = _casts(sources[position], mapping)
        faults = [fault for cast in casts for fault in cast.faults]
        rows = _rows_as_text(session, sources[position], f"{_mask(casts)} <> 0", _mask(casts))
        masks = [row.pop("_mask") for row in rows]
        reasons = [
            "; ".join(
                f"expected {fault.expected}, got {fault.got}" for bit, fault in enumerate(faults) if mask >> bit & 1
            )
            for mask in masks
        ]
        quarantine.add(sources[position], rows, reasons)
    session.execute(f"delete from {STAGED} where _faults <> 0")


def reject_keys(
    queries: Queries,
    files: Queries,
    sources: Sequence[Source],
    mapping: ColumnMapping,
    staged: str,
    keys: str,
    problem: Problem,
    quarantine: Quarantine,
) -> tuple[int, ...]:
    """Move the rows of table `staged` whose key is in `keys` (SQL of one column) into the quarantine; returns the keys.

    Raises
    ------
    LoadRefusedError
        If the quarantine has no room for them.
    """
    key = RAW[mapping.relation].key
    count = _single(queries, f"select count(*) from {staged} where {key} in ({keys})")
    if count > quarantine.room:
        raise LoadRefusedError([problem], quarantine.remedy(count))
    found = queries.query(f"select distinct {key}, _file from {staged} where {key} in ({keys}) order by 1").to_pylist()
    rejected = tuple(sorted({int(row[key]) for row in found}))
    listed = ", ".join(map(str, rejected))
    for position in sorted({row["_file"] for row in found}):
        casts = _casts(sources[position], mapping)
        value = casts[RAW[mapping.relation].column_names.index(key)].value
        rows = _rows_as_text(files, sources[position], f"{value} in ({listed}) and {_mask(casts)} = 0", "0")
        for row in rows:
            del row["_mask"]
        quarantine.add(sources[position], rows, [f"expected {problem.expected}"] * len(rows))
    queries.execute(f"delete from {staged} where {key} in ({listed})")
    return rejected


def _rows_as_text(session: Queries, source: Source, condition: str, mask: str) -> list[dict[str, Any]]:
    """Rows of a file for which the condition holds: every column as text, the row's number and a mask."""
    columns = ", ".join(f"{quoted(name)}::varchar as {quoted(name)}" for name in source.columns)
    sql = f"select _row, {mask} as _mask, {columns} from {source.with_row_numbers} where {condition} order by _row"
    with reading(source.file):
        return session.query(sql).to_pylist()  # type: ignore[no-any-return]


def key_problem(
    queries: Queries,
    files: Queries,
    sources: Sequence[Source],
    mapping: ColumnMapping,
    staged: str,
    keys: str,
    *,
    expected: str,
    got: str,
) -> Problem | None:
    """The problem of the rows of table `staged` whose key is in `keys` (SQL of one column); ``None`` without such rows.

    `queries` runs the SQL; `files` finds the rows in their file. The message puts the number of keys before `got`.
    """
    count = _single(queries, f"select count(*) from ({keys}) as problem_keys")
    if not count:
        return None
    key = RAW[mapping.relation].key
    file = _single(queries, f"select min(_file) from {staged} where {key} in ({keys})")
    first = queries.query(
        f"select {key} from {staged} where _file = {file} and {key} in ({keys}) order by {key} limit {KEYS_LOOKED_UP}"
    )
    source = sources[file]
    value = _casts(source, mapping)[RAW[mapping.relation].column_names.index(key)].value
    examples = ", ".join(str(int(example)) for example in first.column(0).to_pylist())
    rows = _example_rows(files, source, f"{value} in ({examples})")
    return Problem(expected, f"{count:,} {got}", source.file.name, rows)


def _targets(mapping: ColumnMapping) -> list[tuple[str, Column]]:
    """Source columns with their target columns, in the staged table's order."""
    targets = [(mapping.columns[column.name], column) for column in RAW[mapping.relation].columns]
    if mapping.derived.fraud_reports:
        targets.append((mapping.derived.fraud_reports.flag, Column("_is_reported", FLAG)))
    return targets


def _casts(source: Source, mapping: ColumnMapping) -> list[Cast]:
    columns = [(source.find(name), target) for name, target in _targets(mapping)]
    casts = [_cast(source, mapping, column, target) for column, target in columns if column is not None]
    return [cast for cast in casts if cast is not None]


def _cast(source: Source, mapping: ColumnMapping, column: str, target: Column) -> Cast | None:
    return cast_column(column, source.columns[column], target, mapping.number_text(source.delimiter))


def _mask(casts: Sequence[Cast]) -> str:
    """SQL of a bit mask with one bit per fault; 0 for a row without faults."""
    conditions = [fault.condition for cast in casts for fault in cast.faults]
    bits = [f"case when {condition} then {1 << bit} else 0 end" for bit, condition in enumerate(conditions)]
    return " + ".join(bits)


def _value_problems(session: Queries, sources: Sequence[Source], mapping: ColumnMapping) -> list[Problem]:
    faults = [fault for cast in _casts(sources[0], mapping) for fault in cast.faults]
    if not _single(session, f"select count(*) from {STAGED} where _faults <> 0"):
        return []
    counts = ", ".join(f"count(*) filter (where _faults & {1 << bit} <> 0)" for bit in range(len(faults)))
    firsts = ", ".join(f"min(_file) filter (where _faults & {1 << bit} <> 0)" for bit in range(len(faults)))
    row = _values(session, f"select {counts}, {firsts} from {STAGED}")
    problems = []
    for bit, fault in enumerate(faults):
        count, first = row[bit], row[len(faults) + bit]
        if not count:
            continue
        source = sources[first]
        rows = _example_rows(session, source, f"({_mask(_casts(source, mapping))}) & {1 << bit} <> 0")
        problems.append(Problem(fault.expected, f"{count:,} {fault.got}", source.file.name, rows))
    return problems


def _example_rows(session: Queries, source: Source, condition: str) -> tuple[int, ...]:
    """Numbers of the file's first rows for which the condition over its columns holds."""
    sql = f"select _row from {source.with_row_numbers} where {condition} order by _row limit {EXAMPLES}"
    with reading(source.file):
        return tuple(row["_row"] for row in session.query(sql).to_pylist())


def _values(session: Queries, sql: str) -> list[Any]:
    """The single row of a query."""
    return [column[0].as_py() for column in session.query(sql).columns]


def _single(session: Queries, sql: str) -> Any:
    return _values(session, sql)[0]
