"""Column names and delimiter of a CSV file, and the SQL that reads it."""

import csv
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

DELIMITERS = (",", ";", "\t", "|")
NAMELESS = "(column 1, without a name)"
"""Name of a first column without one, as pandas writes its index."""
HEADER_LIMIT = 1_000_000
"""A header line has fewer bytes: without a limit, a file without line ends would be read into memory whole."""
_GZIP_MAGIC = b"\x1f\x8b"


class HeaderError(Exception):
    """The first line is not a header; the text says what it is instead."""


@dataclass(frozen=True)
class CsvHeader:
    """Column names in the file's order, and the delimiter."""

    names: tuple[str, ...]
    delimiter: str


def read_header(path: Path) -> CsvHeader:
    """Column names and delimiter from the first line, in which the delimiter is the most frequent one.

    DuckDB's detection is not used: it may silently skip lines or treat them as comments. Lines end with LF, CRLF or CR.

    Raises
    ------
    HeaderError
        If the file cannot be read, or the first line is no header.
    """
    try:
        with path.open("rb") as opened:
            line = _first_line(gzip.GzipFile(fileobj=opened) if is_compressed(path) else opened)
    except (OSError, EOFError) as error:
        raise HeaderError(f"{type(error).__name__} in its first line") from None
    if line.startswith(_GZIP_MAGIC):
        raise HeaderError("compressed content under a name without .gz")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise HeaderError("bytes that are not UTF-8 in line 1") from None
    if not text.strip():
        raise HeaderError("no header line")
    delimiter = max(DELIMITERS, key=text.count)
    names = next(csv.reader([text], delimiter=delimiter))
    names[0] = names[0] if names[0].strip() else NAMELESS
    if any(not name.strip() for name in names):
        raise HeaderError("a column without a name")
    return CsvHeader(tuple(names), delimiter)


def is_compressed(path: Path) -> bool:
    """Whether the name says that the file is compressed with gzip."""
    return path.name.lower().endswith(".gz")


def csv_scan(paths: Sequence[Path], header: CsvHeader) -> str:
    """SQL of a table function that reads every column of files with the same header as text."""
    columns = ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in header.names)
    compression = "gzip" if is_compressed(paths[0]) else "none"
    return (
        f"read_csv({path_literals(paths)}, columns = {{{columns}}}, delim = {text_literal(header.delimiter)}, "
        f"compression = '{compression}', auto_detect = false, header = true, quote = '\"', escape = '\"', "
        "nullstr = '', null_padding = false, ignore_errors = false, strict_mode = true, hive_partitioning = false)"
    )


def repeated_names(names: Sequence[str]) -> list[str]:
    """Names that occur more than once, differences of case ignored: SQL takes them for one column.

    Examples
    --------
    >>> repeated_names(["amount", "Amount", "note"])
    ['Amount', 'amount']
    """
    folded = [name.lower() for name in names]
    return sorted({name for name in names if folded.count(name.lower()) > 1})


def path_literals(paths: Sequence[Path]) -> str:
    """Paths as an SQL list of strings, escaped so that DuckDB does not read them as patterns."""
    return "[" + ", ".join(text_literal(re.sub(r"([*?\[])", r"[\1]", str(path))) for path in paths) + "]"


def text_literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _first_line(content: "IO[bytes] | gzip.GzipFile") -> bytes:
    """Bytes before the first line end outside of quotes."""
    line = content.read(HEADER_LIMIT)
    match = re.match(rb'(?:[^"\r\n]|"[^"]*")*(?=[\r\n]|$)', line)
    if match is None or (match.end() == len(line) == HEADER_LIMIT):
        raise HeaderError(f"no complete header line in its first {HEADER_LIMIT:,} bytes")
    return match.group()
