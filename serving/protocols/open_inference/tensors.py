"""Tensors as the Open Inference Protocol (version 2) sends them: from a request's bytes to columns, and back.

JSON data is read flat or nested, binary data as the extension ``binary_tensor_data`` lays it out: after the JSON, in
the order of the tensors, little endian, each element of BYTES after its length in four bytes. Numbers in JSON are
rounded to their datatype, as in binary: 0.1 in an FP32 tensor is the FP32 closest to 0.1.

null means absent wherever the protocol has something optional. Parameters are open maps, and one that this server does
not know is ignored, unless it asks for something that would change the answer (`_REFUSED`). A data frame makes integers
with missing values floats, and columns of 0 and 1 bools: whole floats are integers, and bools are 0 and 1.
"""

import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np

from serving.errors import InvalidRequestError
from serving.wire.strict_json import Scalar, decoded

BOOL: Final = "BOOL"
BYTES: Final = "BYTES"
INTEGERS: Final = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
FLOATS: Final = ("FP16", "FP32", "FP64")
DATATYPES: Final = (BOOL, *INTEGERS, *FLOATS, BYTES)

_LAYOUTS: Final[dict[str, "np.dtype[Any]"]] = {
    BOOL: np.dtype("u1"),
    **{name: np.dtype(name.lower()).newbyteorder("<") for name in INTEGERS},
    **{name: np.dtype(name.lower().replace("fp", "float")).newbyteorder("<") for name in FLOATS},
}
_BOUNDS: Final = {name: (int(np.iinfo(_LAYOUTS[name]).min), int(np.iinfo(_LAYOUTS[name]).max)) for name in INTEGERS}
_KINDS: Final[dict[str, type]] = {BOOL: bool, BYTES: str}
_NUMBERS: Final[set[type]] = {int, float}
_LENGTH: Final = struct.Struct("<I")
_LONGEST_HEADER_DIGITS: Final = 10


# For the schema alone: the errors of `_row_count` say more.
_Shape = Annotated[list[int], msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": 2})]
_Datatype = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(DATATYPES)})]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class _Open(msgspec.Struct, frozen=True):
    """Parameters: an open map."""


class InputParameters(_Open, frozen=True):
    """Bytes of binary data of this tensor; without it the data is in the JSON."""

    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    shared_memory_region: Scalar = None


class RequestInput(_Strict, frozen=True):
    """A tensor of a feature or of a key of the envelope, an element a row."""

    name: str
    shape: _Shape
    datatype: _Datatype
    parameters: InputParameters | None = None
    data: list[Scalar | list[Scalar]] | None = None


class OutputParameters(_Open, frozen=True):
    """Whether an output is binary."""

    binary_data: bool | None = None
    classification: Scalar = None
    shared_memory_region: Scalar = None


class RequestOutput(_Strict, frozen=True):
    """A requested output."""

    name: str
    shape: list[int] | None = None
    datatype: str | None = None
    parameters: OutputParameters | None = None


class RequestParameters(_Open, frozen=True):
    """Whether outputs are binary, and whether every decision needs reasons."""

    binary_data_output: bool | None = None
    explain: bool | None = None
    sequence_id: Scalar = None
    sequence_start: Scalar = None
    sequence_end: Scalar = None


class InferenceRequest(_Strict, frozen=True):
    """The JSON of an inference request; without outputs it asks for all. KServe's client repeats the model's name."""

    inputs: list[RequestInput]
    id: str | None = None
    model_name: str | None = None
    parameters: RequestParameters | None = None
    outputs: list[RequestOutput] | None = None


_decoder: Final = msgspec.json.Decoder(InferenceRequest)

_REFUSED: Final = ("sequence_id", "sequence_start", "sequence_end", "classification", "shared_memory_region")
"""Parameters that ask for another answer than this server gives."""


class Tensor(NamedTuple):
    """One input, an element a row: numbers unchanged (NaN too), text decoded, ``None`` for JSON's null."""

    name: str
    datatype: str
    values: list[Scalar]


class Wanted(NamedTuple):
    """A requested output, and whether it is binary."""

    name: str
    is_binary: bool


class InferRequest(NamedTuple):
    """An inference request: all tensors have the same number of rows, at least one.

    `wanted` is empty if the caller names no outputs: it then gets all of them, binary if `is_binary`.
    """

    id: str | None
    tensors: tuple[Tensor, ...]
    wanted: tuple[Wanted, ...]
    is_binary: bool
    is_explained: bool
    model_name: str | None = None


class Column(NamedTuple):
    """One output, an element a row."""

    name: str
    datatype: str
    values: Sequence[float | int | str]


def read_infer_request(body: bytes, header_length: str | None, max_batch: int) -> InferRequest:
    """Read a request; no memory is allocated for a shape before `max_batch` and the body confirm it.

    Parameters
    ----------
    header_length
        The header ``Inference-Header-Content-Length``: how many bytes of JSON precede the binary data.
    max_batch
        Most rows of a request.

    Raises
    ------
    InvalidRequestError
        If the body or the header is anything else; the error names the place, never a value.
    """
    document, binary = _parts(body, header_length)
    request = decoded(_decoder, document)
    parameters, outputs = request.parameters or RequestParameters(), request.outputs or []
    _check_names([each.name for each in request.inputs], "inputs")
    _check_names([each.name for each in outputs], "outputs")
    _check_parameters(parameters, "$.parameters")
    rows = _row_count(request.inputs, max_batch)
    tensors = _tensors(request.inputs, binary, rows)
    default = parameters.binary_data_output or False
    wanted = []
    for index, output in enumerate(outputs):
        asked = output.parameters or OutputParameters()
        _check_parameters(asked, f"$.outputs[{index}].parameters")
        wanted.append(Wanted(output.name, default if asked.binary_data is None else asked.binary_data))
    return InferRequest(request.id, tensors, tuple(wanted), default, parameters.explain or False, request.model_name)


def write_infer_response(
    head: dict[str, Any], columns: Sequence[Column], binary: frozenset[str]
) -> tuple[bytes, int | None]:
    """The response's body, and the length of its JSON if binary tensors (those named in `binary`) follow it."""
    outputs, chunks = [], []
    for column in columns:
        output: dict[str, Any] = {"name": column.name, "datatype": column.datatype, "shape": [len(column.values)]}
        if column.name in binary:
            chunks.append(to_binary(column))
            output["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            output["data"] = column.values
        outputs.append(output)
    document = msgspec.json.encode(head | {"outputs": outputs})
    return b"".join((document, *chunks)), len(document) if chunks else None


def to_binary(column: Column) -> bytes:
    """A column in the layout of the extension for binary data."""
    if column.datatype == BYTES:
        encoded = [str(value).encode() for value in column.values]
        return b"".join(part for each in encoded for part in (_LENGTH.pack(len(each)), each))
    return np.array(column.values, dtype=_LAYOUTS[column.datatype]).tobytes()


def _parts(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    is_number = header_length.isascii() and header_length.isdecimal() and len(header_length) <= _LONGEST_HEADER_DIGITS
    if not is_number or int(header_length) > len(body):
        raise InvalidRequestError(
            "Expected a number of bytes up to the body's length in the header Inference-Header-Content-Length"
        )
    return body[: int(header_length)], body[int(header_length) :]


def _tensors(inputs: Sequence[RequestInput], binary: bytes, rows: int) -> tuple[Tensor, ...]:
    tensors, offset = [], 0
    for index, each in enumerate(inputs):
        path = f"$.inputs[{index}]"
        parameters = each.parameters or InputParameters()
        _check_parameters(parameters, f"{path}.parameters")
        size = parameters.binary_data_size
        if (size is None) == (each.data is None):
            raise InvalidRequestError("Expected either data or the parameter binary_data_size", path)
        if size is None:
            values = _from_json(each.datatype, _flat(each, rows, path), path)
        elif size > len(binary) - offset:
            raise InvalidRequestError(
                "Expected as many bytes after the JSON as the tensors announce, got fewer; the header "
                "Inference-Header-Content-Length says where the JSON ends",
                f"{path}.parameters.binary_data_size",
            )
        else:
            values = _from_binary(each.datatype, binary[offset : offset + size], rows, path)
            offset += size
        tensors.append(Tensor(each.name, each.datatype, values))
    if offset != len(binary):
        raise InvalidRequestError("Expected no bytes after the last tensor's", "$")
    return tuple(tensors)


def _check_parameters(parameters: _Open, path: str) -> None:
    for name in _REFUSED:
        if getattr(parameters, name, None):
            raise InvalidRequestError(
                "Expected no such parameter: this server cannot do what it asks", f"{path}.{name}"
            )


def _check_names(names: Sequence[str], field: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise InvalidRequestError("Expected each name once, got one again", f"$.{field}[{index}].name")
        seen.add(name)


def _row_count(inputs: Sequence[RequestInput], max_batch: int) -> int:
    if not inputs:
        raise InvalidRequestError("Expected at least one tensor", "$.inputs")
    for index, each in enumerate(inputs):
        path = f"$.inputs[{index}]"
        if each.datatype not in DATATYPES:
            raise InvalidRequestError(f"Expected one of the datatypes {list(DATATYPES)}", f"{path}.datatype")
        shape = each.shape
        if len(shape) not in {1, 2} or shape[1:] not in ([], [1]) or not 1 <= shape[0] <= max_batch:
            raise InvalidRequestError(f"Expected the shape [n] or [n, 1] with n from 1 to {max_batch}", f"{path}.shape")
        if shape[0] != inputs[0].shape[0]:
            raise InvalidRequestError("Expected as many rows as in the first tensor", f"{path}.shape")
    return inputs[0].shape[0]


def _flat(tensor: RequestInput, rows: int, path: str) -> list[Scalar]:
    elements: list[Any] = tensor.data or []
    if len(elements) == rows:
        if not any(isinstance(each, list) for each in elements):
            return elements
        if len(tensor.shape) == 2 and all(isinstance(each, list) and len(each) == 1 for each in elements):
            return [each[0] for each in elements]
    raise InvalidRequestError("Expected as many elements as the shape has, flat or nested like it", f"{path}.data")


def _from_json(datatype: str, values: list[Scalar], path: str) -> list[Scalar]:
    if not _fits(datatype, values):
        # At least one value does not fit, is missing, or has the type that a data frame gave it.
        values = [_as_declared(datatype, value) for value in values]
        for index, value in enumerate(values):
            if value is not None and not _fits(datatype, [value]):
                raise InvalidRequestError(f"Expected elements of {datatype}", f"{path}.data[{index}]")
    return _narrowed(datatype, values, path) if datatype in FLOATS else values


def _fits(datatype: str, values: list[Any]) -> bool:
    """Whether all values, at least one, have the JSON type of a datatype and lie within its bounds."""
    kinds = set(map(type, values))
    if datatype in FLOATS:
        return _NUMBERS.issuperset(kinds)
    if kinds != {_KINDS.get(datatype, int)}:
        return False
    if datatype not in _BOUNDS:
        return True
    lowest, highest = _BOUNDS[datatype]
    return all(lowest <= value <= highest for value in values)


def _as_declared(datatype: str, value: Scalar) -> Scalar:
    """A whole float as an integer and a bool as 0 or 1 in a tensor of numbers, and 0 or 1 as a bool in one of BOOL."""
    if datatype == BOOL and value in (0, 1):
        return bool(value)
    if isinstance(value, bool) and datatype not in (BOOL, BYTES):
        return int(value)
    if datatype in _BOUNDS and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _narrowed(datatype: str, values: list[Any], path: str) -> list[Scalar]:
    if datatype == "FP64" and set(map(type, values)) == {float}:
        return values
    try:
        with np.errstate(over="ignore"):
            numbers = np.array([math.nan if value is None else float(value) for value in values])
            narrowed = numbers.astype(_LAYOUTS[datatype]).astype(np.float64)
    except OverflowError:
        raise InvalidRequestError(f"Expected numbers within the range of {datatype}", f"{path}.data") from None
    beyond = np.isinf(narrowed)
    if beyond.any():
        place = f"{path}.data[{int(beyond.argmax())}]"
        raise InvalidRequestError(f"Expected numbers within the range of {datatype}", place)
    return [None if value is None else number for value, number in zip(values, narrowed.tolist(), strict=True)]


def _from_binary(datatype: str, content: bytes, rows: int, path: str) -> list[Scalar]:
    if datatype == BYTES:
        return _texts(content, rows, path)
    layout = _LAYOUTS[datatype]
    if len(content) != rows * layout.itemsize:
        raise InvalidRequestError(
            f"Expected {layout.itemsize} bytes for each of the {rows} elements", f"{path}.parameters.binary_data_size"
        )
    array = np.frombuffer(content, layout)
    if datatype in FLOATS:
        # Widening is exact; NumPy would warn that a signalling NaN becomes a quiet one.
        with np.errstate(invalid="ignore"):
            array = array.astype(np.float64)
    values: list[Scalar] = array.tolist()
    if datatype != BOOL:
        return values
    for index, value in enumerate(values):
        if value not in {0, 1}:
            raise InvalidRequestError("Expected the byte 0 or 1 for each element", f"{path}.data[{index}]")
    return [value == 1 for value in values]


def _texts(content: bytes, rows: int, path: str) -> list[Scalar]:
    texts: list[Scalar] = []
    offset = 0
    for index in range(rows):
        begin = offset + _LENGTH.size
        if begin > len(content) or (offset := begin + _LENGTH.unpack_from(content, offset)[0]) > len(content):
            raise InvalidRequestError(
                "Expected four bytes of length and as many bytes of text for each element", f"{path}.data[{index}]"
            )
        try:
            texts.append(content[begin:offset].decode())
        except UnicodeDecodeError:
            raise InvalidRequestError("Expected UTF-8", f"{path}.data[{index}]") from None
    if offset != len(content):
        raise InvalidRequestError(f"Expected no bytes after the {rows} elements", f"{path}.parameters.binary_data_size")
    return texts
