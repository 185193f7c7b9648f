"""Expression trees of a bundle that was signed but damaged or hostile."""

from typing import Any

import msgspec
import pytest

from serving.contract.documents import ContractError, Deciding, Feature, decode, encode
from serving.contract.expressions import (
    MOST_NODES,
    Call,
    Derivation,
    Expression,
    ExpressionError,
    Field,
    Number,
    kind_of,
)
from serving.contract.schema_rules import schema_violations

AMOUNT = Feature(name="amount", dtype="float")
FIELD: dict[str, Any] = {"node": "field", "name": "amount"}
ONE: dict[str, Any] = {"node": "number", "value": 1.0}


def call(operation: str, *arguments: Any) -> dict[str, Any]:
    return {"node": "call", "operation": operation, "arguments": list(arguments)}


def nested(levels: int) -> dict[str, Any]:
    tree = FIELD
    for _ in range(levels):
        tree = call("negate", tree)
    return tree


def deciding_with(tree: Any) -> bytes:
    """A deciding file with this tree, as someone who can sign could write it."""
    deciding = Deciding(
        schema_version=2,
        model="m",
        features=(
            AMOUNT,
            Feature(name="x", dtype="float", source="derived", derivation=Derivation("amount", Field("amount"))),
        ),
        calibration={"slope": 1.0, "intercept": 0.0},  # type: ignore[arg-type]
        bands={"review_from": None},  # type: ignore[arg-type]
    )
    document = msgspec.json.decode(encode(deciding))
    document["features"][1]["derivation"]["tree"] = tree
    return msgspec.json.encode(document)


@pytest.mark.parametrize(
    "tree",
    [
        call("eval", FIELD),
        call("__import__", FIELD),
        {"node": "attribute", "name": "__class__"},
        {"node": "field"},
        {"node": "field", "name": 1},
        {**FIELD, "further": 1},
        {"node": "number", "value": "1"},
        {"node": "number", "value": None},
        {"node": "call", "operation": "add", "arguments": FIELD},
        {"operation": "add", "arguments": []},
        [],
        None,
        "amount",
        nested(100_000),
    ],
    ids=range(14),
)
def test_a_tree_of_another_form_is_refused_when_its_file_is_read(tree: Any) -> None:
    content = deciding_with(FIELD).replace(msgspec.json.encode(FIELD), text_of(tree), 1)
    with pytest.raises(ContractError, match="in deciding"):
        decode(content, Deciding, "deciding.json")


def text_of(tree: Any) -> bytes:
    """JSON of a tree that may be too deep for an encoder."""
    opening = b'{"node":"call","operation":"negate","arguments":['
    levels = 0
    while isinstance(tree, dict) and tree.get("operation") == "negate":
        tree, levels = tree["arguments"][0], levels + 1
    return opening * levels + msgspec.json.encode(tree) + b"]}" * levels


def test_a_number_beyond_the_doubles_is_refused_when_its_file_is_read() -> None:
    content = deciding_with(ONE).replace(b'"value":1.0', b'"value":1e999')
    with pytest.raises(ContractError, match="in deciding"):
        decode(content, Deciding, "deciding.json")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (nested(32), "Expected an expression of at most 32 levels, got a deeper one"),
        (nested(400), "Expected an expression of at most 32 levels, got a deeper one"),
        (call("coalesce", *[FIELD] * MOST_NODES), f"Expected an expression of at most {MOST_NODES} terms, got more"),
        ({"node": "field", "name": "salary"}, "Expected one of the fields ['amount', 'occurred_at'], got 'salary'"),
        ({"node": "field", "name": "x"}, "Expected one of the fields ['amount', 'occurred_at'], got 'x'"),
        ({"node": "field", "name": "__class__"}, "Expected one of the fields ['amount', 'occurred_at']"),
        (call("add", FIELD), "Expected 2 arguments for `add`, got 1"),
        (call("add", FIELD, FIELD, FIELD), "Expected 2 arguments for `add`, got 3"),
        (call("add"), "Expected 2 arguments for `add`, got 0"),
        (call("abs", FIELD, FIELD), "Expected 1 arguments for `abs`, got 2"),
        (call("coalesce", FIELD), "Expected 2 or more arguments for `coalesce`, got 1"),
        (call("case", FIELD, FIELD), "Expected conditions, each with a result, and an else for `case`, got 2"),
        (call("case", FIELD, ONE, ONE), "Expected conditions for `case`, got number"),
        (call("and", FIELD, FIELD), "Expected conditions for `and`, got number, number"),
        (call("add", FIELD, {"node": "text", "value": "a"}), "Expected numbers for `add`, got number, text"),
        (call("add", FIELD, {"node": "null"}), "Expected numbers for `add`, got number, null"),
        (call("hour", FIELD), "Expected times for `hour`, got number"),
        (call("add", {"node": "field", "name": "occurred_at"}, ONE), "Expected numbers for `add`, got time, number"),
        (call("coalesce", FIELD, {"node": "text", "value": "a"}), "all of one type"),
        (call("less", FIELD, ONE), "that gives a number for 'x' of dtype float, got one that gives a condition"),
        ({"node": "text", "value": "a"}, "that gives a number for 'x' of dtype float, got one that gives a text"),
        ({"node": "null"}, "that gives a number for 'x' of dtype float, got one that gives a null"),
        ({"node": "field", "name": "occurred_at"}, "got one that gives a time"),
    ],
)
def test_a_tree_that_breaks_a_rule_is_refused_when_its_bundle_is_loaded(tree: Any, message: str) -> None:
    deciding = decode(deciding_with(tree), Deciding, "deciding.json")
    (violation,) = schema_violations(deciding.features)
    assert message in violation.message
    assert violation.key == "features.1.derivation"


def test_sources_and_derivations_fit() -> None:
    derivation = Derivation("amount", Field("amount"))
    for feature, message in {
        Feature(name="x", dtype="float", derivation=derivation): "Expected no derivation",
        Feature(name="x", dtype="float", source="derived"): "Expected the derivation",
    }.items():
        (violation,) = schema_violations([AMOUNT, feature])
        assert message in violation.message
    fact = Feature(name="x", dtype="float", source="derived", derivation=derivation)
    (violation,) = schema_violations([AMOUNT], facts=[fact])
    assert (violation.key, "Expected a fact that requests carry" in violation.message) == ("facts.0.source", True)


def test_a_fact_is_no_feature_again() -> None:
    (violation,) = schema_violations([AMOUNT], facts=[Feature(name="Amount", dtype="float")])
    assert violation.key == "facts.0.name"


@pytest.mark.parametrize("other", ["rest", ""])
def test_other_is_one_of_the_categories(other: str) -> None:
    kind = Feature(name="kind", dtype="category", categories=("a", "b"), other=other)
    (violation,) = schema_violations([kind])
    assert (violation.key, "Expected one of the categories ['a', 'b']" in violation.message) == (
        "features.0.other",
        True,
    )
    (violation,) = schema_violations([Feature(name="n", dtype="int", other=other)])
    assert violation.key == "features.0.other"


def test_a_constant_that_is_no_number_is_refused() -> None:
    for value in (float("inf"), float("nan")):
        with pytest.raises(ExpressionError, match="Expected a finite constant"):
            kind_of(Number(value), {})


def test_a_file_of_before_has_the_bytes_of_before() -> None:
    features: tuple[Feature, ...] = (AMOUNT,)
    deciding = Deciding(
        schema_version=1,
        model="m",
        features=features,
        calibration={"slope": 1.0, "intercept": 0.0},  # type: ignore[arg-type]
        bands={"review_from": None},  # type: ignore[arg-type]
    )
    document = msgspec.json.decode(encode(deciding))
    assert sorted(document["features"][0]) == [
        "categories", "dtype", "is_nullable", "maximum", "minimum", "monotone", "name", "reason_group", "source",
    ]  # fmt: skip
    assert "facts" not in document


def test_nodes_are_hashable_since_types_are_cached_by_schema() -> None:
    tree: Expression = Call("add", (Field("a"), Number(1.0)))
    assert len({tree, Call("add", (Field("a"), Number(1.0)))}) == 1
