import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidRequestError
from serving.protocols.mlflow.csv_tables import read_csv
from serving.protocols.mlflow.tables import Frame, Params, in_frame_terms, read_invocation, requests_of
from tests.harness.small_models import SCHEMA
from tests.harness.tensor_requests import ANYTHING, SECRET

FEATURES = {feature.name: feature for feature in SCHEMA}
RECORDS: list[dict[str, Any]] = [
    {
        "decision_id": f"d{number}",
        "transaction_id": "t",
        "entity_key": "e",
        "occurred_at": "2026-01-31T12:00:00Z",
        "amount": 0.5 + number,
        "is_night": number,
        "kind": "travel",
        "mean_amount_7d": None,
    }
    for number in range(2)
]
COLUMNS = list(RECORDS[0])
SPLIT: dict[str, Any] = {"columns": COLUMNS, "data": [list(record.values()) for record in RECORDS]}
BY_COLUMN = {column: [record[column] for record in RECORDS] for column in COLUMNS}
MAX_BATCH = 4

LAYOUTS: list[tuple[str, Any, str]] = [
    ("dataframe_split", SPLIT, "$.dataframe_split.data[1][4]"),
    ("dataframe_split", SPLIT | {"index": [0, 1]}, "$.dataframe_split.data[1][4]"),
    ("dataframe_records", RECORDS, "$.dataframe_records[1].amount"),
    ("inputs", RECORDS, "$.inputs[1].amount"),
    ("inputs", BY_COLUMN, "$.inputs.amount[1]"),
    ("instances", RECORDS, "$.instances[1].amount"),
]


def frame(**body: Any) -> Frame:
    return read_invocation(json.dumps(body).encode(), MAX_BATCH).frame


def refusal(**body: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        frame(**body)
    assert SECRET not in caught.value.message + str(caught.value.path)
    return caught.value.message, caught.value.path


@pytest.mark.parametrize(("layout", "table", "place"), LAYOUTS)
def test_all_layouts_hold_the_same_rows_and_know_where_a_cell_stands(layout: str, table: Any, place: str) -> None:
    found = frame(**{layout: table})
    assert found.records == RECORDS
    error = InvalidRequestError("Expected another", "$.requests[1].features.amount")
    assert in_frame_terms(error, found, FEATURES).path == place


def test_a_fault_of_a_row_or_of_an_unknown_name_is_placed_at_the_row() -> None:
    found = frame(instances=RECORDS)
    for path in ("$.requests[1].features", "$.requests[1]", f"$.requests[1].features.{SECRET}"):
        assert in_frame_terms(InvalidRequestError("Expected another", path), found, FEATURES).path == "$.instances[1]"
    assert in_frame_terms(InvalidRequestError("Expected another", "$"), found, FEATURES).path == "$"


def test_a_row_becomes_a_score_request() -> None:
    first, second = requests_of(frame(dataframe_split=SPLIT), FEATURES)
    assert first == {
        "decision_id": "d0",
        "transaction_id": "t",
        "entity_key": "e",
        "occurred_at": "2026-01-31T12:00:00Z",
        "features": {"amount": 0.5, "is_night": 0, "kind": "travel", "mean_amount_7d": None},
    }
    assert second["decision_id"] == "d1"


def test_missing_columns_of_the_envelope_are_all_named() -> None:
    record = {name: value for name, value in RECORDS[0].items() if name not in {"decision_id", "occurred_at"}}
    with pytest.raises(InvalidRequestError) as caught:
        requests_of(frame(dataframe_records=[RECORDS[0], record]), FEATURES)
    assert caught.value.message.endswith("missing ['decision_id', 'occurred_at']")
    assert caught.value.path == "$.dataframe_records[1]"


def test_parameters_name_a_model_and_ask_for_reasons() -> None:
    body = json.dumps({"instances": RECORDS, "params": {"model": "m", "explain": True}}).encode()
    assert read_invocation(body, MAX_BATCH).params == Params("m", explain=True)
    assert read_invocation(json.dumps({"instances": RECORDS, "params": None}).encode(), MAX_BATCH).params == Params()


ONE_LAYOUT = "Expected exactly one of the keys ['dataframe_split', 'dataframe_records', 'inputs', 'instances'], got "
UNKNOWN_KEY = "Expected only the keys that the protocol names, got another one"


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        ({}, f"{ONE_LAYOUT}0", "$"),
        ({"inputs": RECORDS, "instances": RECORDS}, f"{ONE_LAYOUT}2", "$"),
        ({"instances": RECORDS, SECRET: 1}, UNKNOWN_KEY, "$"),
        ({"instances": RECORDS, "params": {"explain": 1}}, "Expected `bool | null`, got `int`", "$.params.explain"),
        ({"instances": []}, "Expected from 1 to 4 rows", "$.instances"),
        ({"inputs": {"a": []}}, "Expected from 1 to 4 rows", "$.inputs"),
        ({"instances": RECORDS * 3}, "Expected from 1 to 4 rows", "$.instances"),
        ({"inputs": {"a": [1] * 5}}, "Expected from 1 to 4 rows", "$.inputs"),
        ({"dataframe_split": {"columns": [], "data": [[]] * 5}}, "Expected from 1 to 4 rows", "$.dataframe_split.data"),
        ({"inputs": {}}, "Expected columns of the same length", "$.inputs"),
        ({"inputs": {"a": [1], SECRET: []}}, "Expected columns of the same length", "$.inputs"),
        (
            {"dataframe_split": {"columns": [SECRET, SECRET], "data": [[1, 2]]}},
            "Expected each column once, got one again",
            "$.dataframe_split.columns",
        ),
        (
            {"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}},
            "Expected as many values as columns",
            "$.dataframe_split.data[1]",
        ),
        (
            {"dataframe_split": {"columns": ["a"], "data": [[1]], "index": [0, 1]}},
            "Expected as many labels as rows",
            "$.dataframe_split.index",
        ),
        ({"instances": [[1, 2]]}, "Expected `object`, got `array`", "$.instances[0]"),
    ],
)
def test_a_table_that_is_none_is_refused(body: dict[str, Any], message: str, path: str) -> None:
    assert refusal(**body) == (message, path)


@given(st.dictionaries(st.sampled_from(["dataframe_split", "inputs", "instances", "params", SECRET]), ANYTHING))
def test_no_body_raises_anything_else(body: dict[str, Any]) -> None:
    said = ""
    try:
        requests_of(frame(**body), FEATURES)
    except InvalidRequestError as error:
        said = error.message + str(error.path)
    assert SECRET not in said


HEADER = ",".join(COLUMNS)
ENVELOPE = "d,t,e,2026-01-31T12:00:00Z"


def csv(*lines: str, header: str = HEADER) -> Frame:
    return read_csv("\r\n".join((header, *lines)).encode() + b"\r\n", FEATURES, MAX_BATCH)


def csv_refusal(*lines: str, header: str = HEADER) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        csv(*lines, header=header)
    assert SECRET not in caught.value.message + str(caught.value.path)
    return caught.value.message, caught.value.path


def test_csv_is_read_by_the_schema() -> None:
    found = csv(f"{ENVELOPE},1e2,1,travel,", '"d\n""2""",5,1.0,x,-0.5,0,"shop",7')
    assert found.records == [
        dict(zip(COLUMNS, ("d", "t", "e", "2026-01-31T12:00:00Z", 100.0, 1, "travel", None), strict=True)),
        dict(zip(COLUMNS, ('d\n"2"', "5", "1.0", "x", -0.5, 0, "shop", 7.0), strict=True)),
    ]
    assert [type(value) for value in found.records[1].values()] == [str] * 4 + [float, int, str, float]


def test_a_line_is_counted_where_its_row_begins() -> None:
    found = csv(f'"d\nd\nd"{ENVELOPE[1:]},1,1,travel,', f"{ENVELOPE},1,1,travel,")
    assert [found.place(row, None) for row in range(2)] == ["line 2", "line 5"]
    error = InvalidRequestError("Expected another", "$.requests[1].features.kind")
    assert in_frame_terms(error, found, FEATURES).path == "line 5, column kind"


@pytest.mark.parametrize(
    "field", ["nan", "NaN", "inf", "1e999", "0x1", "1_0", " 1", "1 ", "+1", "01", ".5", "1.", "٣", SECRET + "x"]
)
def test_a_number_in_csv_is_written_as_in_json(field: str) -> None:
    expected = ("Expected a number as in JSON", "line 2, column amount")
    assert csv_refusal(f"{ENVELOPE},{field},1,travel,") == expected


@pytest.mark.parametrize("field", ["1.5", "1e-1", "TRUE", "-", "9" * 20, SECRET + "x"])
def test_an_integer_in_csv_is_one(field: str) -> None:
    assert csv_refusal(f"{ENVELOPE},1,{field},travel,") == ("Expected an integer", "line 2, column is_night")


@pytest.mark.parametrize(
    ("header", "lines", "message", "path"),
    [
        ("", (), "Expected only the columns ", "line 1"),
        (f"{HEADER},{SECRET}", (), "Expected only the columns ", "line 1"),
        (f"{HEADER},kind", (), "Expected each column once", "line 1"),
        (HEADER, (), "Expected from 1 to 4 rows", "line 1"),
        (HEADER, (f"{ENVELOPE},1,1,travel,",) * 5, "Expected from 1 to 4 rows", "line 6"),
        (HEADER, (f"{ENVELOPE},1,1,travel",), "Expected as many fields as columns", "line 2"),
        (HEADER, ("",), "Expected as many fields as columns", "line 2"),
        (HEADER, (f'{ENVELOPE},1,1,"travel"x,',), "Expected CSV as in RFC 4180", "line 2"),
        (HEADER, (f'{ENVELOPE},1,1,"travel,',), "Expected CSV as in RFC 4180", "line 2"),
    ],
)
def test_csv_that_is_no_table_is_refused(header: str, lines: tuple[str, ...], message: str, path: str) -> None:
    said, at = csv_refusal(*lines, header=header)
    assert (said.startswith(message), at) == (True, path)


@given(st.binary() | st.text(alphabet='",\r\n\0a1').map(lambda text: f"{HEADER}\n{text}".encode()))
def test_no_csv_raises_anything_else(body: bytes) -> None:
    try:
        found = read_csv(body, FEATURES, MAX_BATCH)
    except InvalidRequestError:
        return
    assert 1 <= len(found.records) <= MAX_BATCH
