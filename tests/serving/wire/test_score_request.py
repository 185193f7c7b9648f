import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings

from serving.errors import InvalidRequestError
from serving.wire.score_request import RequestReader, example_request
from tests.harness.broken_requests import SECRET, broken_requests
from tests.harness.small_models import SCHEMA, score_request

READER = RequestReader(SCHEMA)


def refused(request: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as raised:
        READER.read(request if isinstance(request, bytes) else json.dumps(request).encode())
    return raised.value


def with_feature(name: str, value: Any) -> dict[str, Any]:
    request = score_request()
    request["features"][name] = value
    return request


def test_a_valid_request_gives_its_values_in_the_schemas_order() -> None:
    request = READER.read(json.dumps(score_request()).encode())
    assert request.values == (250.5, 1, "travel", None)
    assert request.occurred_at == dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


def test_another_offset_becomes_utc() -> None:
    request = READER.read(json.dumps(score_request(occurred_at="2026-01-31T14:00:00+02:00")).encode())
    assert request.occurred_at == dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    assert request.occurred_at.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("request_body", "path", "message"),
    [
        (with_feature("amount", "1"), "$.features.amount", "Expected `float`, got `str`"),
        (with_feature("amount", True), "$.features.amount", "Expected `float`, got `bool`"),
        (with_feature("amount", -1), "$.features.amount", "Expected `float` >= 0.0"),
        (with_feature("is_night", "1"), "$.features.is_night", "Expected `int`, got `str`"),
        (with_feature("is_night", 1.0), "$.features.is_night", "Expected `int`, got `float`"),
        (with_feature("is_night", 2), "$.features.is_night", "Expected `int` <= 1"),
        (with_feature("kind", SECRET), "$.features.kind", "Expected one of ['online', 'shop', 'travel']"),
        (
            with_feature(SECRET, 1),
            "$.features",
            "Expected only the keys ['amount', 'is_night', 'kind', 'mean_amount_7d']",
        ),
        (score_request(features={"amount": 1.0}), "$.features", "Expected 4 features, missing ['is_night', 'kind',"),
        (score_request(features=[1]), "$.features", "Expected `object`, got `array`"),
        (score_request(occurred_at="2026-01-31T12:00:00"), "$.occurred_at", "with a timezone component"),
        (score_request(occurred_at=SECRET), "$.occurred_at", "Expected an RFC 3339 timestamp"),
        (score_request(occurred_at="0001-01-01T00:00:00+14:00"), "$.occurred_at", "Expected a year from 1 to 9999"),
        (score_request(decision_id=7), "$.decision_id", "Expected `str`, got `int`"),
        (score_request(decision_id=""), "$.decision_id", "Expected `str` of length >= 1"),
        (score_request(decision_id="a b"), "$.decision_id", "Expected printable ASCII characters without spaces"),
        (score_request(decision_id="x\n"), "$.decision_id", "Expected printable ASCII characters without spaces"),
        (score_request() | {SECRET: 1}, "$", "Expected only the keys ['decision_id'"),
        (
            {"decision_id": "d"},
            "$",
            "Expected 5 keys, missing ['transaction_id', 'entity_key', 'occurred_at', 'features']",
        ),
        ([], "$", "Expected `object`, got `array`"),
        (b"", "$", "Expected a complete JSON document"),
        (b'{"decision_id": nope}', "$", "JSON is malformed"),
        (b'{"decision_id": "\xff"}', "$", "Expected UTF-8"),
        (json.dumps(with_feature("amount", float("nan"))).encode(), "$", "JSON is malformed"),
        (json.dumps(score_request()).encode().replace(b"250.5", b"1e999"), "$.features.amount", "Number out of range"),
    ],
)
def test_a_fault_names_the_path_and_what_was_expected(request_body: Any, path: str, message: str) -> None:
    error = refused(request_body)
    assert error.path == path
    assert message in error.message
    assert SECRET not in error.message


@settings(max_examples=300, deadline=None)
@given(broken_requests())
def test_no_fault_repeats_what_was_sent(request: Any) -> None:
    text = ""
    try:
        READER.read(json.dumps(request).encode())
    except InvalidRequestError as error:
        text = f"{error.message} {error.path}"
    assert SECRET not in text


def test_the_example_of_a_model_is_valid() -> None:
    example = example_request(SCHEMA)
    assert READER.read(json.dumps(example).encode()).values == (1.0, 1, "online", 1.0)
