"""Tensors on the wire: what is read, what is refused, and that no bytes at all lead anywhere else."""

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidRequestError
from serving.protocols.open_inference.rows import rows_of
from serving.protocols.open_inference.tensors import (
    BYTES,
    DATATYPES,
    FLOATS,
    INTEGERS,
    Column,
    InferRequest,
    Wanted,
    read_infer_request,
    to_binary,
    write_infer_response,
)
from tests.harness.small_models import SCHEMA
from tests.harness.tensor_requests import ANYTHING, SECRET, binary_tensor, valid_request

FEATURES = {feature.name: feature for feature in SCHEMA}
MAX_BATCH = 8


def read(*inputs: dict[str, Any], binary: bytes = b"", **others: Any) -> InferRequest:
    document = json.dumps({"inputs": list(inputs), **others}).encode()
    return read_infer_request(document + binary, str(len(document)) if binary else None, MAX_BATCH)


def tensor(datatype: str, data: Any, shape: list[Any] | None = None, name: str = "x") -> dict[str, Any]:
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}


def refusal(*inputs: dict[str, Any], binary: bytes = b"", **others: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        read(*inputs, binary=binary, **others)
    assert SECRET not in caught.value.message + str(caught.value.path)
    return caught.value.message, caught.value.path


def numpy_type(datatype: str) -> Any:
    return np.dtype(datatype.lower().replace("fp", "float"))


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A datatype and values that it holds."""
    datatype = draw(st.sampled_from(DATATYPES))
    if datatype in FLOATS:
        width: Any = int(datatype[2:])
        element: st.SearchStrategy[Any] = st.floats(width=width, allow_nan=False, allow_infinity=False)
    elif datatype in INTEGERS:
        bounds = np.iinfo(numpy_type(datatype))
        element = st.integers(int(bounds.min), int(bounds.max))
    else:
        element = st.booleans() if datatype == "BOOL" else st.text(st.characters(exclude_categories=["Cs"]))
    return datatype, draw(st.lists(element, min_size=1, max_size=MAX_BATCH))


@given(columns())
def test_what_a_datatype_holds_comes_out_of_json_and_of_binary_as_it_went_in(column: tuple[str, list[Any]]) -> None:
    datatype, values = column
    packed = to_binary(Column("x", datatype, values))
    flat, nested = tensor(datatype, values), tensor(datatype, [[value] for value in values], [len(values), 1])
    binary = binary_tensor(datatype, len(packed), len(values))
    for request in (read(flat), read(nested), read(binary, binary=packed)):
        assert request.tensors[0].values == values
        assert [type(value) for value in request.tensors[0].values] == [type(value) for value in values]


@pytest.mark.parametrize("datatype", [*INTEGERS, *FLOATS])
def test_binary_numbers_are_numpys_little_endian_bytes(datatype: str) -> None:
    array = np.array([1, 0, 100], dtype=numpy_type(datatype).newbyteorder("<"))
    content = array.tobytes()
    assert read(binary_tensor(datatype, len(content), 3), binary=content).tensors[0].values == [1, 0, 100]
    assert to_binary(Column("x", datatype, [1, 0, 100])) == content


def test_an_fp32_is_widened_exactly_whether_it_came_as_json_or_as_binary() -> None:
    exact = float(np.float32(0.1))
    content = struct.pack("<f", 0.1)
    assert exact != 0.1
    assert read(tensor("FP32", [0.1])).tensors[0].values == [exact]
    assert read(binary_tensor("FP32", 4, 1), binary=content).tensors[0].values == [exact]


def test_a_binary_nan_and_an_infinity_stay_what_they_are_and_a_signalling_nan_warns_nobody() -> None:
    content = bytes.fromhex("0100a07f0000c07f0000807f")
    values = read(binary_tensor("FP32", 12, 3), binary=content).tensors[0].values
    assert [math.isnan(value) for value in values if isinstance(value, float)] == [True, True, False]
    assert values[2] == math.inf


def test_null_is_a_missing_element_of_any_datatype() -> None:
    for datatype in DATATYPES:
        assert read(tensor(datatype, [None])).tensors[0].values == [None]


def test_outputs_and_parameters_say_what_is_wanted() -> None:
    outputs = [{"name": "score"}, {"name": "slot", "parameters": {"binary_data": False}}]
    request = read(
        tensor("BOOL", [True]),
        id="i",
        outputs=outputs,
        parameters={"binary_data_output": True, "explain": True},
    )
    assert request.wanted == (Wanted("score", is_binary=True), Wanted("slot", is_binary=False))
    assert (request.id, request.is_binary, request.is_explained) == ("i", True, True)


def test_a_response_carries_binary_outputs_after_its_json() -> None:
    body, length = write_infer_response(
        {"model_name": "m"},
        [Column("score", "FP64", [0.5, 0.25]), Column("slot", BYTES, ["é", ""])],
        frozenset({"slot"}),
    )
    assert length is not None
    assert json.loads(body[:length])["outputs"] == [
        {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.5, 0.25]},
        {"name": "slot", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 10}},
    ]
    assert body[length:] == b"\x02\0\0\0\xc3\xa9\0\0\0\0"
    assert write_infer_response({}, [Column("slot", BYTES, ["a"])], frozenset())[1] is None


SHAPE = f"Expected the shape [n] or [n, 1] with n from 1 to {MAX_BATCH}"
COUNT = "Expected as many elements as the shape has, flat or nested like it"


@pytest.mark.parametrize(
    ("shape", "data", "expected"),
    [
        ([], [1], (SHAPE, "$.inputs[0].shape")),
        ([0], [], (SHAPE, "$.inputs[0].shape")),
        ([-1], [1], (SHAPE, "$.inputs[0].shape")),
        ([-1, -1], [1], (SHAPE, "$.inputs[0].shape")),
        ([1, 2], [1, 2], (SHAPE, "$.inputs[0].shape")),
        ([1, 1, 1], [1], (SHAPE, "$.inputs[0].shape")),
        ([MAX_BATCH + 1], [1] * (MAX_BATCH + 1), (SHAPE, "$.inputs[0].shape")),
        ([10**30], [1], (SHAPE, "$.inputs[0].shape")),
        ([2**31, 2**31], [1], (SHAPE, "$.inputs[0].shape")),
        ([1.0], [1], ("Expected `int`, got `float`", "$.inputs[0].shape[0]")),
        ([True], [1], ("Expected `int`, got `bool`", "$.inputs[0].shape[0]")),
        ([2], [1], (COUNT, "$.inputs[0].data")),
        ([1], [1, 2], (COUNT, "$.inputs[0].data")),
        ([1], [[1]], (COUNT, "$.inputs[0].data")),
        ([2, 1], [[1], 2], (COUNT, "$.inputs[0].data")),
        ([2, 1], [[1, 2]], (COUNT, "$.inputs[0].data")),
        ([2, 1], [[1, 2], []], (COUNT, "$.inputs[0].data")),
        ([1], [], (COUNT, "$.inputs[0].data")),
    ],
)
def test_a_shape_that_the_data_does_not_have_is_refused(
    shape: list[Any], data: list[Any], expected: tuple[str, str]
) -> None:
    assert refusal({"name": "x", "shape": shape, "datatype": "INT64", "data": data}) == expected


@pytest.mark.parametrize(
    ("datatype", "element"),
    [
        ("INT8", 128), ("INT8", -129), ("UINT8", -1), ("UINT8", 256), ("INT64", 2**63), ("UINT64", 2**64),
        ("INT32", 1.5), ("INT8", 1e3), ("INT32", SECRET), ("BOOL", 2), ("BOOL", "true"), ("UINT8", -1.0),
        ("FP32", SECRET), ("BYTES", 5), ("BYTES", True),
    ],
)  # fmt: skip
def test_an_element_that_its_datatype_does_not_hold_is_refused(datatype: str, element: Any) -> None:
    message = f"Expected elements of {datatype}"
    assert refusal(tensor(datatype, [None, element])) == (message, "$.inputs[0].data[1]")


@pytest.mark.parametrize(("datatype", "element"), [("FP16", 65520), ("FP32", 1e39), ("FP32", -1e39)])
def test_a_number_beyond_its_datatype_is_refused_and_not_made_infinite(datatype: str, element: float) -> None:
    message = f"Expected numbers within the range of {datatype}"
    assert refusal(tensor(datatype, [element])) == (message, "$.inputs[0].data[0]")


def test_an_integer_beyond_all_doubles_is_refused() -> None:
    expected = ("Expected numbers within the range of FP64", "$.inputs[0].data")
    assert refusal(tensor("FP64", [1, 10**400])) == expected


def test_an_unknown_datatype_is_refused_without_being_repeated() -> None:
    message, path = refusal(tensor(SECRET, [1]))
    assert message.startswith("Expected one of the datatypes ['BOOL', 'INT8'")
    assert path == "$.inputs[0].datatype"


def test_names_come_once_and_rows_agree() -> None:
    again = "Expected each name once, got one again"
    assert refusal(tensor("BOOL", [True]), tensor("BOOL", [True])) == (again, "$.inputs[1].name")
    twice = [{"name": "score"}, {"name": "score"}]
    assert refusal(tensor("BOOL", [True]), outputs=twice) == (again, "$.outputs[1].name")
    assert refusal(tensor("BOOL", [True]), tensor("BOOL", [True, True], name="y")) == (
        "Expected as many rows as in the first tensor",
        "$.inputs[1].shape",
    )
    assert refusal() == ("Expected at least one tensor", "$.inputs")


CANNOT = "Expected no such parameter: this server cannot do what it asks"
UNKNOWN_KEY = "Expected only the keys that the protocol names, got another one"


@pytest.mark.parametrize(
    ("inputs", "others", "expected"),
    [
        ([tensor("BOOL", [True]) | {SECRET: 1}], {}, (UNKNOWN_KEY, "$.inputs[0]")),
        ([tensor("BOOL", [True])], {SECRET: 1}, (UNKNOWN_KEY, "$")),
        ([tensor("BOOL", [True])], {"parameters": {"sequence_id": 7}}, (CANNOT, "$.parameters.sequence_id")),
        (
            [tensor("BOOL", [True]) | {"parameters": {"shared_memory_region": SECRET}}],
            {},
            (CANNOT, "$.inputs[0].parameters.shared_memory_region"),
        ),
        (
            [tensor("BOOL", [True])],
            {"outputs": [{"name": "score", "parameters": {"classification": 3}}]},
            (CANNOT, "$.outputs[0].parameters.classification"),
        ),
        (
            [tensor("BOOL", [True])],
            {"parameters": {"explain": "yes"}},
            ("Expected `bool | null`, got `str`", "$.parameters.explain"),
        ),
        ([{"name": "x"}], {}, ("Object missing required field `shape`", "$.inputs[0]")),
        (
            [{"name": "x", "shape": [1], "datatype": "BOOL"}],
            {},
            ("Expected either data or the parameter binary_data_size", "$.inputs[0]"),
        ),
        (
            [tensor("BOOL", [True]) | {"parameters": {"binary_data_size": 1}}],
            {},
            ("Expected either data or the parameter binary_data_size", "$.inputs[0]"),
        ),
        ([SECRET], {}, ("Expected `object`, got `str`", "$.inputs[0]")),
    ],
)
def test_keys_are_the_protocols(inputs: list[Any], others: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refusal(*inputs, **others) == expected


SIZE = "$.inputs[0].parameters.binary_data_size"


@pytest.mark.parametrize(
    ("datatype", "size", "rows", "content", "message", "path"),
    [
        ("FP64", 8, 1, b"\0" * 7, "Expected as many bytes after the JSON as the tensors announce, got fewer", SIZE),
        ("FP64", 2**60, 1, b"\0" * 8, "Expected as many bytes after the JSON as the tensors announce, got fewer", SIZE),
        ("FP64", -1, 1, b"\0" * 8, "Expected `int` >= 0", SIZE),
        ("FP64", 4, 1, b"\0" * 4, "Expected 8 bytes for each of the 1 elements", SIZE),
        ("FP64", 8, 1, b"\0" * 9, "Expected no bytes after the last tensor's", "$"),
        ("BOOL", 2, 2, b"\1\2", "Expected the byte 0 or 1 for each element", "$.inputs[0].data[1]"),
        ("BYTES", 3, 1, b"\0\0\0", "Expected four bytes of length and as many", "$.inputs[0].data[0]"),
        ("BYTES", 8, 1, b"\xff\xff\xff\xffabcd", "Expected four bytes of length and as many", "$.inputs[0].data[0]"),
        ("BYTES", 5, 2, b"\1\0\0\0a", "Expected four bytes of length and as many", "$.inputs[0].data[1]"),
        ("BYTES", 6, 1, b"\1\0\0\0aa", "Expected no bytes after the 1 elements", SIZE),
        ("BYTES", 5, 1, b"\1\0\0\0\xff", "Expected UTF-8", "$.inputs[0].data[0]"),
    ],
)
def test_binary_data_is_exactly_what_the_tensor_announces(
    datatype: str, size: int, rows: int, content: bytes, message: str, path: str
) -> None:
    said, at = refusal(binary_tensor(datatype, size, rows), binary=content)
    assert (said.startswith(message), at) == (True, path)


@pytest.mark.parametrize("header", ["", "-1", "+1", " 1", "1.0", "0x1", "٣", "99", "1" * 5000, SECRET])
def test_a_header_that_is_no_length_within_the_body_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequestError, match="Inference-Header-Content-Length"):
        read_infer_request(b"{}", header, MAX_BATCH)


def test_binary_data_without_the_header_is_refused() -> None:
    body = json.dumps({"inputs": [binary_tensor("BOOL", 1, 1)]}).encode() + b"\1"
    with pytest.raises(InvalidRequestError, match="trailing characters"):
        read_infer_request(body, None, MAX_BATCH)


def test_nan_in_json_is_a_missing_value_and_infinity_is_refused() -> None:
    body = b'{"inputs": [{"name": "NaN", "shape": [3], "datatype": "%s", "data": [%s]}]}'
    for datatype, data, expected in (
        (b"FP64", b"NaN, 1.5,NaN", [None, 1.5, None]),
        (b"BYTES", rb'"NaN", "\"NaN", NaN', ["NaN", '"NaN', None]),
    ):
        [tensor] = read_infer_request(body % (datatype, data), None, MAX_BATCH).tensors
        assert (tensor.name, tensor.values) == ("NaN", expected)
    with pytest.raises(InvalidRequestError, match="has no Infinity"):
        read_infer_request(body % (b"FP64", b"NaN, 1, -Infinity"), None, MAX_BATCH)


def test_null_means_absent_and_unknown_parameters_are_ignored() -> None:
    request = read(
        tensor("BOOL", [True]) | {"parameters": None},
        tensor("INT8", [1], name="y") | {"parameters": {"content_type": "np", "binary_data_size": None}},
        id=None,
        outputs=None,
        parameters={"content_type": "pd", "priority": 1, "headers": {}, "sequence_id": 0, "explain": None},
    )
    assert [each.name for each in request.tensors] == ["x", "y"]
    assert (request.id, request.wanted, request.is_binary, request.is_explained) == (None, (), False, False)


@pytest.mark.parametrize(
    ("datatype", "elements", "expected"),
    [
        ("INT64", [1.0, True, None, 3], [1, 1, None, 3]),
        ("UINT8", [255.0, False], [255, 0]),
        ("FP64", [True, 2, None], [1.0, 2.0, None]),
        ("BOOL", [1, 0, 1.0, None, True], [True, False, True, None, True]),
    ],
)
def test_numbers_that_a_data_frame_changed_are_read_back(
    datatype: str, elements: list[Any], expected: list[Any]
) -> None:
    [found] = read(tensor(datatype, elements)).tensors
    assert list(map(type, found.values)) == list(map(type, expected))
    assert found.values == expected


def read_or_refuse(body: bytes, header: str | None) -> None:
    said = ""
    try:
        rows_of(read_infer_request(body, header, MAX_BATCH), FEATURES)
    except InvalidRequestError as error:
        said = error.message + str(error.path)
    assert SECRET not in said


@given(st.binary(), st.none() | st.text(max_size=8) | st.integers(0, 40).map(str))
def test_no_bytes_raise_anything_else(body: bytes, header: str | None) -> None:
    read_or_refuse(body, header)


NAMES = st.sampled_from([*FEATURES, "decision_id", "transaction_id", "entity_key", "occurred_at", SECRET])
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | ANYTHING,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | ANYTHING,
        "datatype": st.sampled_from(DATATYPES) | ANYTHING,
        "data": st.lists(ANYTHING, max_size=3) | ANYTHING,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | ANYTHING,
        SECRET: ANYTHING,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=6)}, optional={"outputs": ANYTHING, "id": ANYTHING}
)


@given(DOCUMENTS, st.binary(max_size=40))
def test_no_document_raises_anything_else(document: dict[str, Any], binary: bytes) -> None:
    head = json.dumps(document).encode()
    read_or_refuse(head + binary, str(len(head)))


@given(st.data())
def test_no_damage_to_a_valid_request_raises_anything_else(data: st.DataObject) -> None:
    body, length = valid_request()
    position = data.draw(st.integers(0, len(body)))
    cut = data.draw(st.integers(0, 8))
    damaged = body[:position] + data.draw(st.binary(max_size=8)) + body[position + cut :]
    read_or_refuse(damaged, str(length + data.draw(st.integers(-3, 3))))


def test_the_valid_request_is_valid() -> None:
    body, length = valid_request()
    first, second = rows_of(read_infer_request(body, str(length), MAX_BATCH), FEATURES)
    assert first["features"] == {"kind": "shop", "amount": 1.5, "is_night": 0, "mean_amount_7d": None}
    assert second["features"] == {"kind": "online", "amount": 2.5, "is_night": 1, "mean_amount_7d": 2.0}
    assert second["decision_id"] == "d"
