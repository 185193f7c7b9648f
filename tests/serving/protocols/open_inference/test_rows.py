import math
from typing import Any

import pytest

from serving.contract.documents import Feature
from serving.errors import InvalidRequestError
from serving.protocols.open_inference.rows import (
    OUTPUTS,
    check_wanted,
    columns_of,
    in_tensor_terms,
    known_features,
    rows_of,
)
from serving.protocols.open_inference.tensors import INTEGERS, InferRequest, Tensor, Wanted
from serving.wire.score_response import ScoreResponse

FEATURES = {
    feature.name: feature
    for feature in (
        Feature(name="amount", dtype="float"),
        Feature(name="mean", dtype="float", is_nullable=True),
        Feature(name="count", dtype="int"),
        Feature(name="age", dtype="int", is_nullable=True),
        Feature(name="kind", dtype="category", categories=("a", "b")),
        Feature(name="region", dtype="category", categories=("n", "s"), is_nullable=True),
    )
}
ENVELOPE = tuple(
    Tensor(name, "BYTES", ["x"]) for name in ("decision_id", "transaction_id", "entity_key", "occurred_at")
)


def rows(*tensors: Tensor) -> list[dict[str, Any]]:
    return rows_of(InferRequest(None, (*ENVELOPE, *tensors), (), is_binary=False, is_explained=False), FEATURES)


def value(name: str, datatype: str, element: Any) -> Any:
    return rows(Tensor(name, datatype, [element]))[0]["features"][name]


def refusal(name: str, datatype: str, element: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        value(name, datatype, element)
    return caught.value.message, caught.value.path


def test_a_row_is_a_score_request() -> None:
    assert rows(Tensor("amount", "FP64", [2.5])) == [
        {
            "decision_id": "x",
            "transaction_id": "x",
            "entity_key": "x",
            "occurred_at": "x",
            "features": {"amount": 2.5},
        }
    ]


def test_a_request_without_features_is_left_for_the_model_to_refuse() -> None:
    assert [each["features"] for each in rows()] == [{}]


def test_everything_of_the_envelope_that_is_missing_is_named() -> None:
    request = InferRequest(None, (ENVELOPE[1], ENVELOPE[3]), (), is_binary=False, is_explained=False)
    with pytest.raises(InvalidRequestError) as caught:
        rows_of(request, FEATURES)
    assert caught.value.message.endswith("missing ['decision_id', 'entity_key']")


@pytest.mark.parametrize(
    ("name", "datatype", "element", "expected"),
    [
        ("amount", "FP32", 0.5, 0.5),
        ("amount", "INT64", 2**53, 2**53),
        ("mean", "FP64", math.nan, None),
        ("mean", "INT8", None, None),
        ("count", "FP64", 3.0, 3),
        ("count", "BOOL", True, 1),
        ("amount", "BOOL", True, 1),
        ("count", "UINT8", 200, 200),
        ("region", "BYTES", "", None),
        ("age", "FP16", math.nan, None),
        ("kind", "BYTES", "b", "b"),
        ("region", "BYTES", None, None),
    ],
)
def test_a_feature_takes_what_it_holds_exactly(name: str, datatype: str, element: Any, expected: Any) -> None:
    found = value(name, datatype, element)
    assert (found, type(found)) == (expected, type(expected))


MISSING = "Expected a value, since this input is not nullable"


@pytest.mark.parametrize(
    ("name", "datatype", "element", "message"),
    [
        ("amount", "FP64", math.nan, MISSING),
        ("amount", "FP64", None, MISSING),
        ("count", "FP32", math.nan, MISSING),
        ("kind", "BYTES", None, MISSING),
        ("kind", "BYTES", "", MISSING),
        ("amount", "FP64", math.inf, "Expected a finite number"),
        ("mean", "FP16", -math.inf, "Expected a finite number"),
        ("count", "FP64", 2.5, "Expected a whole number"),
        ("count", "FP64", 1e300, "Expected an integer that a double holds exactly, up to 2^53"),
        ("count", "UINT64", 2**53 + 1, "Expected an integer that a double holds exactly, up to 2^53"),
        ("amount", "INT64", -(2**53) - 1, "Expected an integer that a double holds exactly, up to 2^53"),
    ],
)
def test_an_element_that_a_feature_does_not_take_is_refused(
    name: str, datatype: str, element: Any, message: str
) -> None:
    assert refusal(name, datatype, element) == (message, "$.inputs[4].data[0]")


@pytest.mark.parametrize(
    ("name", "datatype"),
    [("amount", "BYTES"), ("count", "BYTES"), *(("kind", each) for each in (*INTEGERS, "FP64"))],
)
def test_a_datatype_that_a_feature_does_not_take_is_refused(name: str, datatype: str) -> None:
    message, path = refusal(name, datatype, 1)
    assert message.startswith("Expected one of the datatypes ")
    assert path == "$.inputs[4].datatype"


def test_an_unknown_tensor_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        rows(Tensor("4711", "FP64", [1.0]))
    assert "4711" not in caught.value.message
    assert caught.value.path == "$.inputs[4].name"


def test_the_envelope_is_text_that_is_there() -> None:
    for datatype, element, at in (("INT64", 5, "datatype"), ("BYTES", None, "data[0]")):
        tensors = (Tensor("decision_id", datatype, [element]), *ENVELOPE[1:])
        with pytest.raises(InvalidRequestError) as caught:
            rows_of(InferRequest(None, tensors, (), is_binary=False, is_explained=False), FEATURES)
        assert caught.value.path == f"$.inputs[0].{at}"


def test_what_any_slot_of_a_release_knows_may_be_sent() -> None:
    champion = (Feature(name="a", dtype="int"), Feature(name="b", dtype="float", minimum=0))
    canary = (Feature(name="b", dtype="float", is_nullable=True), Feature(name="c", dtype="float"))
    known = known_features((champion, canary))
    assert list(known) == ["a", "b", "c"]
    assert known["b"] == Feature(name="b", dtype="float", minimum=0, is_nullable=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("$.requests[3].features.amount", "$.inputs[1].data[3]"),
        ("$.requests[0].occurred_at", "$.inputs[0].data[0]"),
        ("$.requests[3].features", "$.inputs"),
        ("$.requests[3]", "$.inputs"),
        ("$.requests[3].features.other", "$.inputs"),
        ("$", "$"),
        (None, None),
    ],
)
def test_a_fault_is_placed_in_the_tensors(before: str | None, after: str | None) -> None:
    tensors = [Tensor("occurred_at", "BYTES", []), Tensor("amount", "FP64", [])]
    error = in_tensor_terms(InvalidRequestError("Expected another", before), tensors)
    assert (error.message, error.path) == ("Expected another", after)


def test_answers_become_the_outputs_that_are_wanted() -> None:
    answer = ScoreResponse(
        decision_id="d", model="m", slot="canary", bundle_digest="f", release_number=3, score=0.5, margin=0.0,
        decision="review", reasons=(),
    )  # fmt: skip
    columns = columns_of([answer, answer], ["release_number", "reasons", "slot"])
    assert [tuple(column) for column in columns] == [
        ("release_number", "INT64", [3, 3]),
        ("reasons", "BYTES", ["[]", "[]"]),
        ("slot", "BYTES", ["canary", "canary"]),
    ]
    check_wanted([Wanted(name, is_binary=True) for name in OUTPUTS])
    with pytest.raises(InvalidRequestError) as caught:
        check_wanted([Wanted("4711", is_binary=True)])
    assert "4711" not in caught.value.message
