"""Tables as MLflow's scoring protocol sends them: four layouts of JSON, and CSV; each row is a score request.

The columns are the keys of the envelope and the features. A missing value is null, NaN or an empty field of CSV. A data
frame makes integers with missing values floats, and columns of 0 and 1 bools: whole floats are integers, and bools are
0 and 1. Apart from that this module only arranges the values; they are checked later, as strictly as on the native
route.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from serving.contract.documents import Feature
from serving.contract.features import LARGEST_INTEGER
from serving.contract.schema_rules import ENVELOPE
from serving.errors import InvalidRequestError
from serving.wire.strict_json import Scalar, decoded

Record = dict[str, Scalar]
CellPlace = Callable[[int, str | None], str]
"""Names a cell's place in the request, from row and column; without a column, that of the whole row."""

LAYOUTS: Final = ("dataframe_split", "dataframe_records", "inputs", "instances")

_IN_ROWS: Final = re.compile(r"\$\.requests\[([0-9]+)\](?:\.(?:features\.?)?([^.\[\]]*))?")


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class SplitTable(_Strict, frozen=True):
    """The names of the columns, and the rows."""

    columns: list[str]
    data: list[list[Scalar]]
    index: list[Any] | None = None


class Params(msgspec.Struct, frozen=True):
    """Options of a request: a model by name, and reasons for every decision; an open map."""

    model: str | None = None
    explain: bool | None = None


class InvocationRequest(_Strict, frozen=True):
    """The JSON of a request: exactly one of the four layouts."""

    dataframe_split: SplitTable | None = None
    dataframe_records: list[Record] | None = None
    inputs: dict[str, list[Scalar]] | list[Record] | None = None
    instances: list[Record] | None = None
    params: Params | None = None


_decoder: Final = msgspec.json.Decoder(InvocationRequest)


class Frame(NamedTuple):
    """The rows of a request, and their places in it."""

    records: list[Record]
    place: CellPlace


class Invocation(NamedTuple):
    """A request of MLflow's protocol: its table and its options."""

    frame: Frame
    params: Params


def read_invocation(body: bytes, max_batch: int) -> Invocation:
    """Read a JSON body.

    Raises
    ------
    InvalidRequestError
        If it is not exactly one of the layouts, names a column twice, has rows or columns of different lengths, no row
        or more than `max_batch`.
    """
    document = decoded(_decoder, body)
    layouts = [layout for layout in LAYOUTS if getattr(document, layout) is not None]
    if len(layouts) != 1:
        raise InvalidRequestError(f"Expected exactly one of the keys {list(LAYOUTS)}, got {len(layouts)}", "$")
    layout = layouts[0]
    table = getattr(document, layout)
    if isinstance(table, SplitTable):
        frame = _from_split(table, max_batch)
    elif isinstance(table, dict):
        frame = _from_columns(table, layout, max_batch)
    else:
        check_batch(len(table), max_batch, f"$.{layout}")
        frame = Frame(table, record_place(layout))
    return Invocation(frame, document.params or Params())


def requests_of(frame: Frame, features: Mapping[str, Feature]) -> list[dict[str, Any]]:
    """The score requests of the rows: every column that is not of the envelope is a feature.

    Raises
    ------
    InvalidRequestError
        If a row lacks columns of the envelope, or has an unknown one; the error names the missing ones and counts to
        the unknown one, whose name may be a value.
    """
    requests = []
    for row, record in enumerate(frame.records):
        missing = [name for name in ENVELOPE if name not in record]
        if missing:
            raise InvalidRequestError(
                f"Expected the columns {list(ENVELOPE)} in addition to the features, missing {missing}",
                frame.place(row, None),
            )
        request: dict[str, Any] = {name: record[name] for name in ENVELOPE}
        unknown = [number for number, name in enumerate(record, 1) if name not in ENVELOPE and name not in features]
        if unknown:
            raise InvalidRequestError(
                f"Expected only the columns {[*ENVELOPE, *features]}, got another one as number {unknown[0]}",
                frame.place(row, None),
            )
        request["features"] = {
            name: _as_declared(value, features[name]) for name, value in record.items() if name not in ENVELOPE
        }
        requests.append(request)
    return requests


def _as_declared(value: Scalar, feature: Feature) -> Scalar:
    """A number of a numeric feature in the type that it had before a data frame changed it."""
    if feature.dtype == "category":
        return value
    if isinstance(value, bool):
        return int(value)
    if feature.dtype == "int" and isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_INTEGER:
        return int(value)
    return value


def in_frame_terms(error: InvalidRequestError, frame: Frame, features: Mapping[str, Feature]) -> InvalidRequestError:
    """`error` with the place of the cell in the caller's table instead of the row's key."""
    place = _IN_ROWS.fullmatch(error.path or "")
    if place is None:
        return error
    column = place[2] if place[2] in features or place[2] in ENVELOPE else None
    return error.moved_to(frame.place(int(place[1]), column))


def record_place(layout: str) -> CellPlace:
    """Places in a list of records."""
    return lambda row, column: f"$.{layout}[{row}]" + ("" if column is None else f".{column}")


def check_batch(rows: int, max_batch: int, path: str) -> None:
    """Raise `InvalidRequestError` unless there is a row, and no more than `max_batch`."""
    if not 1 <= rows <= max_batch:
        raise InvalidRequestError(f"Expected from 1 to {max_batch} rows", path)


def check_columns(columns: Sequence[str], path: str) -> None:
    """Raise `InvalidRequestError` if a column is named twice."""
    if len(set(columns)) != len(columns):
        raise InvalidRequestError("Expected each column once, got one again", path)


def _from_split(split: SplitTable, max_batch: int) -> Frame:
    check_columns(split.columns, "$.dataframe_split.columns")
    check_batch(len(split.data), max_batch, "$.dataframe_split.data")
    if split.index is not None and len(split.index) != len(split.data):
        raise InvalidRequestError("Expected as many labels as rows", "$.dataframe_split.index")
    for row, values in enumerate(split.data):
        if len(values) != len(split.columns):
            raise InvalidRequestError("Expected as many values as columns", f"$.dataframe_split.data[{row}]")
    numbers = {column: number for number, column in enumerate(split.columns)}

    def place(row: int, column: str | None) -> str:
        number = numbers.get(column) if column is not None else None
        return f"$.dataframe_split.data[{row}]" + ("" if number is None else f"[{number}]")

    return Frame([dict(zip(split.columns, values, strict=True)) for values in split.data], place)


def _from_columns(table: dict[str, list[Scalar]], layout: str, max_batch: int) -> Frame:
    lengths = {len(values) for values in table.values()}
    if len(lengths) != 1:
        raise InvalidRequestError("Expected columns of the same length", f"$.{layout}")
    check_batch(max(lengths), max_batch, f"$.{layout}")
    records = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return Frame(records, lambda row, column: f"$.{layout}" + ("" if column is None else f".{column}[{row}]"))
