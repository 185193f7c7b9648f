"""The files of one load, with their digests and the SQL that reads them."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.interface import Queries
from lifecycle.warehouse.loading.csv_files import (
    CsvHeader,
    HeaderError,
    csv_scan,
    is_compressed,
    path_literals,
    read_header,
    repeated_names,
)

FORMATS = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv"}
FILE_NUMBER = "file_index"
"""DuckDB's column with the position, from 0, of a row's file among those of a table function."""
_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_COUNTS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


@dataclass(frozen=True)
class SourceFile:
    """One file to load, in the state in which it was digested."""

    path: Path
    name: str
    """Path relative to the loaded folder, or the file's name."""
    format: str
    digest: str
    """SHA-256 of its bytes."""
    stamp: tuple[int, int]
    """Size in bytes and modification time in ns."""

    def refuse_if_changed(self) -> None:
        """Raise `LifecycleError` if the file has changed since it was digested."""
        if _stamp(self.path) != self.stamp:
            raise LifecycleError(
                f"Expected the file to stay unchanged during the load, got a change - at {self.path}. "
                "Nothing was loaded; wait until the file is complete, then run the same command again."
            )


@dataclass(frozen=True)
class Source:
    """A readable file: its columns with their DuckDB types, and the SQL that reads it."""

    file: SourceFile
    columns: dict[str, str]
    delimiter: str | None = None
    """Between the values of a CSV file; ``None`` for Parquet."""

    @property
    def scan(self) -> str:
        """Table function that reads the file."""
        return scan_together([self])

    @property
    def layout(self) -> tuple[object, ...]:
        """What sources that one table function can read have in common."""
        return self.file.format, is_compressed(self.file.path), self.delimiter, tuple(self.columns.items())

    def find(self, name: str) -> str | None:
        """The file's column of this name, differences of case ignored; ``None`` without one."""
        return next((column for column in self.columns if column.lower() == name.lower()), None)

    @property
    def with_row_numbers(self) -> str:
        """Relation like `scan` with the row's number in the file, from 1, as `_row`."""
        # A CSV scan keeps the file's order; for Parquet, DuckDB provides the row number.
        number = "row_number() over ()" if self.file.format == "csv" else "file_row_number + 1"
        return f"(select *, {number} as _row from {self.scan})"


def scan_together(sources: Sequence[Source]) -> str:
    """Table function that reads sources of the same layout; `FILE_NUMBER` tells their rows apart."""
    first, paths = sources[0], [source.file.path for source in sources]
    if first.delimiter is None:
        return f"read_parquet({path_literals(paths)}, hive_partitioning = false)"
    return csv_scan(paths, CsvHeader(tuple(first.columns), first.delimiter))


def find_files(path: Path) -> tuple[SourceFile, ...]:
    """The file, or the Parquet and CSV files below the folder, ordered by name.

    Skips names that begin with ``.`` or ``_``, as Spark and Hive do.

    Raises
    ------
    LifecycleError
        If there is nothing to load, or a file has another format or cannot be read.
    """
    if not path.exists():
        raise LifecycleError(f"Expected a file or a folder, found nothing - at {path}")
    if path.is_dir():
        files = sorted(
            child for child in path.rglob("*") if child.is_file() and not _is_marker(child.relative_to(path))
        )
    else:
        files = [path]
    if not files:
        raise LifecycleError(f"Expected Parquet or CSV files, found none - in {path}")
    foreign = [file for file in files if _format(file) is None]
    if foreign:
        raise LifecycleError(
            f"Expected only {', '.join(FORMATS)} files, got {len(foreign)} of another format, "
            f"for example {foreign[0].name} - in {path}"
        )
    return tuple(_source_file(file, path) for file in files)


def _is_marker(relative: Path) -> bool:
    return any(part.startswith((".", "_")) for part in relative.parts)


def _format(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _source_file(path: Path, root: Path) -> SourceFile:
    stamp = _stamp(path)
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, f"{type(error).__name__} ({error.strerror})") from None
    name = str(path.relative_to(root)) if path != root else path.name
    return SourceFile(path, name, _format(path) or "", digest, stamp)


def open_source(session: Queries, file: SourceFile) -> Source:
    """Read a file's column names and types.

    Raises
    ------
    LifecycleError
        If the file's content does not have the format of its suffix, or is truncated.
    """
    if file.format == "csv":
        try:
            header = read_header(file.path)
        except HeaderError as error:
            raise _unreadable(file.path, str(error)) from None
        _refuse_repeated(file.path, header.names)
        return Source(file, dict.fromkeys(header.names, "VARCHAR"), header.delimiter)
    with reading(file):
        described = session.query(f"describe select * from {Source(file, {}).scan}").to_pylist()
    columns = {row["column_name"]: row["column_type"] for row in described}
    return Source(file, columns | _arrow_only_types(file.path))


def _arrow_only_types(path: Path) -> dict[str, str]:
    """Types of columns that DuckDB takes for another type; refuses a name that occurs twice.

    DuckDB reads durations as whole numbers, and 16-bit floats, whose three digits hold neither an amount nor an id, as
    32-bit ones.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, f"a schema that Arrow cannot read ({type(error).__name__})") from None
    # DuckDB would rename the second one and the load would pick the first.
    _refuse_repeated(path, schema.names)
    is_misread = (pa.types.is_float16, pa.types.is_duration)
    return {field.name: str(field.type) for field in schema if any(is_kind(field.type) for is_kind in is_misread)}


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    repeated = repeated_names(names)
    if repeated:
        raise _unreadable(path, f"the columns {repeated} more than once (case makes no difference)")


@contextmanager
def reading(file: SourceFile) -> Iterator[None]:
    """Translate DuckDB's error about an unreadable file, whose message repeats the line, into one without values.

    Errors that concern the warehouse (memory, disk) pass through.
    """
    import duckdb

    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.FatalException):
        raise
    except duckdb.Error as error:
        text = str(error)
        if isinstance(error, duckdb.IOException) and str(file.path) not in text and "GZIP" not in text:
            raise
        raise _unreadable(file.path, _violation(text, file)) from None


def _violation(text: str, file: SourceFile) -> str:
    line = _CSV_LINE.search(text)
    where = f" in line {line.group(1)}" if line else ""
    counts = _CSV_COUNTS.search(text)
    if counts:
        return f"{counts.group(2)} instead of {counts.group(1)} values{where}"
    if "unterminated quote" in text:
        return f"an unterminated quote{where}"
    if "unicode" in text.lower():
        return f"bytes that are not UTF-8{where}"
    if "GZIP" in text:
        return "a truncated compressed stream"
    if file.format == "parquet" and ("magic bytes" in text or "too small" in text):
        return "no Parquet footer (the file is truncated or not Parquet)"
    return f"content that does not parse as {file.format}{where}"


def _unreadable(path: Path, got: str) -> LifecycleError:
    return LifecycleError(
        f"Expected a complete, readable file, got {got} - in {path}. "
        "Nothing was loaded; write the file again, then load it."
    )
