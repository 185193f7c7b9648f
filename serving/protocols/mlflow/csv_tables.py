"""CSV as a table of score requests, read by the model's schema; no type is guessed.

The first line names the columns. Fields are quoted as in RFC 4180. A number is written as in JSON, or as pandas writes
a bool (``True``, ``False``); a missing value is an empty field, and a text keeps its spaces.
"""

import csv
import io
import math
import re
from collections.abc import Mapping
from typing import Final

from serving.contract.documents import Feature
from serving.contract.features import LARGEST_INTEGER
from serving.contract.schema_rules import ENVELOPE
from serving.errors import InvalidRequestError
from serving.protocols.mlflow.tables import Frame, Record, check_batch, check_columns
from serving.wire.strict_json import Scalar

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_BOOLS: Final = {"True": 1, "False": 0, "true": 1, "false": 0}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def read_csv(body: bytes, features: Mapping[str, Feature], max_batch: int) -> Frame:
    """Read a CSV body.

    Raises
    ------
    InvalidRequestError
        If it is not CSV in UTF-8, names a column twice or an unknown one, has a line of another length, no row or more
        than `max_batch`, or a field does not have its feature's type; the error names the line and the column.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError("Expected UTF-8", "line 1") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    records: list[Record] = []
    first_lines: list[int] = []
    next_line = 1
    try:
        for fields in lines:
            line, next_line = next_line, lines.line_num + 1
            if not columns:
                columns = _header(fields, features)
                continue
            if len(records) == max_batch:
                check_batch(max_batch + 1, max_batch, f"line {line}")
            if len(fields) != len(columns):
                raise InvalidRequestError("Expected as many fields as columns", f"line {line}")
            records.append(
                {
                    name: _cell(field, features.get(name), name, line)
                    for name, field in zip(columns, fields, strict=True)
                }
            )
            first_lines.append(line)
    except csv.Error:
        raise InvalidRequestError("Expected CSV as in RFC 4180", f"line {lines.line_num}") from None
    check_batch(len(records), max_batch, "line 1")
    return Frame(records, lambda row, column: _place(first_lines[row], column))


def _header(columns: list[str], features: Mapping[str, Feature]) -> list[str]:
    check_columns(columns, "line 1")
    known = [*ENVELOPE, *features]
    unknown = [number for number, column in enumerate(columns, 1) if column not in known]
    if unknown or not columns:
        number = unknown[0] if unknown else 1
        raise InvalidRequestError(f"Expected only the columns {known}, got another one as number {number}", "line 1")
    return columns


def _cell(field: str, feature: Feature | None, name: str, line: int) -> Scalar:
    if name in ENVELOPE or feature is None:
        return field
    if not field:
        return None
    return field if feature.dtype == "category" else _number(field, feature, _place(line, name))


def _number(field: str, feature: Feature, place: str) -> int | float:
    if field in _BOOLS:
        return _BOOLS[field]
    if feature.dtype == "int" and _INTEGER.fullmatch(field):
        return int(field)
    number = float(field) if _NUMBER.fullmatch(field) else math.nan
    if feature.dtype == "int":
        if not number.is_integer() or abs(number) > LARGEST_INTEGER:
            raise InvalidRequestError("Expected an integer", place, feature=feature.name, fault="type")
        return int(number)
    if not math.isfinite(number):
        raise InvalidRequestError("Expected a number as in JSON", place, feature=feature.name, fault="type")
    return number


def _place(line: int, column: str | None) -> str:
    return f"line {line}" + ("" if column is None else f", column {column}")
