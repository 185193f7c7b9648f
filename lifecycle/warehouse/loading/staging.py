"""Reads files once into a typed temporary table and counts every fault of their values."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.spec.raw_table import BOOLEAN
from lifecycle.warehouse.interface import Queries
from lifecycle.warehouse.loading.csv_files import text_literal
from lifecycle.warehouse.loading.mapping import ColumnMapping, nearest
from lifecycle.warehouse.loading.quarantine import Quarantine
from lifecycle.warehouse.loading.source_files import FILE_NUMBER, Source, reading, scan_together
from lifecycle.warehouse.loading.value_checks import Cast, Fault, cast_column, expected_of, quoted
from lifecycle.warehouse.raw_tables import Column

STAGED = "staged_rows"
"""Temporary table: `_file` (position in the load), the raw columns, a flag for each derived table, and the faults."""
FAULTS_AT_ONCE = 60
"""Bits of a `bigint` that hold faults."""
FILES_AT_ONCE = 100
"""Files that one statement reads at most."""
BYTES_AT_ONCE = 64 * 2**20
"""One statement reads files of about so many bytes, so that the progress of large ones is shown."""
EXAMPLES = 5
KEYS_LOOKED_UP = 1000
"""If many rows violate a rule, examples are searched among those with the lowest keys."""

Key = int | str
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
    columns = [f"{target.name} {target.type}" for _, target in _targets(mapping)]
    words = [f"{word} bigint" for word in _words(_casts(sources[0], mapping))]
    session.execute(f"create temp table {STAGED} ({', '.join(['_file integer', *columns, *words])})")
    position = 0
    for together in _read_together(sources):
        progress("reading", position, len(sources))
        _insert(session, together, position, mapping)
        position += len(together)
    progress("reading", position, len(sources))
    problems = _value_problems(session, sources, mapping)
    if not problems:
        return
    is_faulty = _is_faulty(_casts(sources[0], mapping))
    faulty = _single(session, f"select count(*) from {STAGED} where {is_faulty}")
    if faulty > quarantine.room:
        raise LoadRefusedError(problems, quarantine.remedy(faulty))
    _reject_faulty(session, sources, mapping, quarantine, is_faulty)


def _read_together(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """Successive sources of the same layout: planning a statement with all checks takes longer than a small file."""
    together: list[Source] = []
    size = 0
    for source in sources:
        is_full = len(together) == FILES_AT_ONCE or size + source.file.stamp[0] > BYTES_AT_ONCE
        # A column of that name would hide the number that DuckDB gives to the file.
        if together and (is_full or source.layout != together[0].layout or source.find(FILE_NUMBER)):
            yield together
            together, size = [], 0
        together.append(source)
        size += source.file.stamp[0]
    yield together


def _insert(session: Queries, together: Sequence[Source], position: int, mapping: ColumnMapping) -> None:
    """Insert the rows of sources of one layout; `position` is that of the first."""
    import duckdb

    casts = _casts(together[0], mapping)
    values = ", ".join([*(cast.value for cast in casts), *_words(casts).values()])
    is_alone = len(together) == 1
    file = str(position) if is_alone else f"{position} + {FILE_NUMBER}"
    try:
        with reading(together[0].file) if is_alone else nullcontext():
            session.execute(f"insert into {STAGED} select {file}, {values} from {scan_together(together)}")
    except duckdb.Error:
        if is_alone:
            raise
        # One after the other, to name the one that does not parse.
        for offset, source in enumerate(together):
            _insert(session, [source], position + offset, mapping)
    for source in together:
        source.file.refuse_if_changed()


def _reject_faulty(
    session: Queries, sources: Sequence[Source], mapping: ColumnMapping, quarantine: Quarantine, is_faulty: str
) -> None:
    positions = session.query(f"select distinct _file from {STAGED} where {is_faulty} order by 1").column(0)
    for position in positions.to_pylist():
        casts = _casts(sources[position], mapping)
        faults = _faults(casts)
        selected = ", ".join(f"{fault.condition} as _fault_{number}" for number, fault in enumerate(faults))
        rows = _rows_as_text(session, sources[position], _any_fault(casts), selected)
        reasons = []
        for row in rows:
            found = [fault for number, fault in enumerate(faults) if row.pop(f"_fault_{number}")]
            reasons.append("; ".join(f"expected {fault.expected}, got {fault.got}" for fault in found))
        quarantine.add(sources[position], rows, reasons)
    session.execute(f"delete from {STAGED} where {is_faulty}")


def reject_keys(
    queries: Queries,
    files: Queries,
    sources: Sequence[Source],
    mapping: ColumnMapping,
    staged: str,
    keys: str,
    problem: Problem,
    quarantine: Quarantine,
) -> tuple[Key, ...]:
    """Move the rows of table `staged` whose key is in `keys` (SQL of one column) into the quarantine; returns the keys.

    Raises
    ------
    LoadRefusedError
        If the quarantine has no room for them.
    """
    key = mapping.table.key
    count = _single(queries, f"select count(*) from {staged} where {key} in ({keys})")
    if count > quarantine.room:
        raise LoadRefusedError([problem], quarantine.remedy(count))
    found = queries.query(f"select distinct {key}, _file from {staged} where {key} in ({keys}) order by 1").to_pylist()
    rejected = tuple(dict.fromkeys(row[key] for row in found))
    for position in sorted({row["_file"] for row in found}):
        casts = _casts(sources[position], mapping)
        value = _key_value(casts, mapping)
        is_found = f"{value} in ({', '.join(map(key_literal, rejected))}) and not ({_any_fault(casts)})"
        rows = _rows_as_text(files, sources[position], is_found)
        quarantine.add(sources[position], rows, [f"expected {problem.expected}"] * len(rows))
    delete_keys(queries, staged, key, rejected)
    return rejected


def delete_keys(queries: Queries, table: str, column: str, keys: Sequence[Key]) -> None:
    """Delete the rows of a table with one of these keys."""
    for start in range(0, len(keys), KEYS_LOOKED_UP):
        part = keys[start : start + KEYS_LOOKED_UP]
        queries.execute(f"delete from {table} where {column} in ({', '.join('?' * len(part))})", part)


def key_literal(key: Key) -> str:
    """A key in the SQL of DuckDB; Snowflake, where a backslash escapes, gets keys as parameters."""
    return text_literal(key) if isinstance(key, str) else str(int(key))


def _rows_as_text(session: Queries, source: Source, condition: str, also: str = "") -> list[dict[str, Any]]:
    """Rows of a file for which the condition holds: the row's number, what else is selected, every column as text."""
    columns = [f"{quoted(name)}::varchar as {quoted(name)}" for name in source.columns]
    selected = ", ".join(["_row", *([also] if also else []), *columns])
    sql = f"select {selected} from {source.with_row_numbers} where {condition} order by _row"
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
    key = mapping.table.key
    file = _single(queries, f"select min(_file) from {staged} where {key} in ({keys})")
    first = queries.query(
        f"select {key} from {staged} where _file = {file} and {key} in ({keys}) order by {key} limit {KEYS_LOOKED_UP}"
    )
    source = sources[file]
    value = _key_value(_casts(source, mapping), mapping)
    examples = ", ".join(map(key_literal, first.column(0).to_pylist()))
    rows = _example_rows(files, source, f"{value} in ({examples})")
    return Problem(expected, f"{count:,} {got}", source.file.name, rows)


def flag_of(derived: str) -> str:
    """Column of the staged table that marks the rows from which a row of the derived table is made."""
    return f"_is_in_{derived}"


def _targets(mapping: ColumnMapping) -> list[tuple[str, Column]]:
    """Source columns with their target columns, in the staged table's order."""
    targets = [(mapping.columns[column.name], column) for column in mapping.table.columns]
    targets += [(rows.flag, Column(flag_of(name), BOOLEAN)) for name, rows in mapping.derived.items()]
    return targets


def _key_value(casts: Sequence[Cast], mapping: ColumnMapping) -> str:
    return casts[mapping.table.column_names.index(mapping.table.key)].value


def _casts(source: Source, mapping: ColumnMapping) -> list[Cast]:
    columns = [(source.find(name), target) for name, target in _targets(mapping)]
    casts = [_cast(source, mapping, column, target) for column, target in columns if column is not None]
    return [cast for cast in casts if cast is not None]


def _cast(source: Source, mapping: ColumnMapping, column: str, target: Column) -> Cast | None:
    return cast_column(column, source.columns[column], target, mapping.number_text(source.delimiter))


def _faults(casts: Sequence[Cast]) -> list[Fault]:
    return [fault for cast in casts for fault in cast.faults]


def _any_fault(casts: Sequence[Cast]) -> str:
    """SQL of whether a row of a file has a fault."""
    return " or ".join(f"coalesce({fault.condition}, false)" for fault in _faults(casts)) or "false"


def _words(casts: Sequence[Cast]) -> dict[str, str]:
    """SQL of the staged table's bit masks, with one bit per fault, by the name of their column."""
    conditions = [fault.condition for fault in _faults(casts)]
    words = {}
    for start in range(0, len(conditions), FAULTS_AT_ONCE):
        part = conditions[start : start + FAULTS_AT_ONCE]
        bits = [f"case when {condition} then {1 << bit} else 0 end" for bit, condition in enumerate(part)]
        words[_word(start)] = " + ".join(bits)
    return words


def _word(number: int) -> str:
    return f"_faults_{number // FAULTS_AT_ONCE}"


def _is_faulty(casts: Sequence[Cast]) -> str:
    """SQL of whether a staged row has a fault."""
    return " or ".join(f"{word} <> 0" for word in _words(casts)) or "false"


def _value_problems(session: Queries, sources: Sequence[Source], mapping: ColumnMapping) -> list[Problem]:
    casts = _casts(sources[0], mapping)
    faults = _faults(casts)
    if not _single(session, f"select count(*) from {STAGED} where {_is_faulty(casts)}"):
        return []
    has = [f"{_word(number)} & {1 << number % FAULTS_AT_ONCE} <> 0" for number in range(len(faults))]
    counts = ", ".join(f"count(*) filter (where {condition})" for condition in has)
    firsts = ", ".join(f"min(_file) filter (where {condition})" for condition in has)
    row = _values(session, f"select {counts}, {firsts} from {STAGED}")
    problems = []
    for number, fault in enumerate(faults):
        count, first = row[number], row[len(faults) + number]
        if not count:
            continue
        source = sources[first]
        condition = _faults(_casts(source, mapping))[number].condition
        rows = _example_rows(session, source, condition)
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
