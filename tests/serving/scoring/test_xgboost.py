"""XGBoost's models without XGBoost: margins, contributions, and what is refused."""

import json
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from serving.contract.documents import ContractError, Feature
from serving.scoring.margin.evaluator import Evaluation, Margins, first_difference
from serving.scoring.model_text import NotWholeError
from serving.scoring.shap.layout import lay_out
from serving.scoring.shap.tree_shap import TreeShap
from serving.scoring.xgboost.forest import as_forest, largest_below
from serving.scoring.xgboost.scorer import XGBoostScorer, check_inputs
from serving.scoring.xgboost.trees import XGBoostTrees, read_trees
from serving.scoring.xgboost.walk import walk
from tests.harness.small_models import SCHEMA, examples
from tests.harness.xgboost_models import (
    DAMAGES,
    LONG,
    SHORT,
    as_json,
    booster,
    own_contributions,
    own_margins,
    random_booster,
    trees_of,
)

Margin = Callable[[Any], float]


def compiled(trees: XGBoostTrees) -> Margin:
    margins = Margins.from_forest(as_forest(trees))
    evaluation, packer = Evaluation(margins), struct.Struct(f"{trees.n_features}d")

    def margin(row: Any) -> float:
        packer.pack_into(evaluation.buffer, 0, *row)
        return evaluation.predict()

    return margin


def all_margins(margin: Margin, rows: Any) -> Any:
    return np.array([margin(row) for row in rows.tolist()])


@pytest.mark.parametrize("seed", [*SHORT, *(pytest.param(seed, marks=pytest.mark.long) for seed in LONG)])
def test_margins_are_xgboosts_bits_and_contributions_agree(seed: int) -> None:
    model, rows = random_booster(seed)
    trees = read_trees(as_json(model))
    margin, own = compiled(trees), own_margins(model, rows)
    assert all_margins(margin, rows).tolist() == own.astype(np.float64).tolist()
    assert first_difference(as_forest(trees), margin, lambda row: walk(trees, row)) is None
    explained = TreeShap(lay_out(as_forest(trees)))
    ours, theirs = np.array([explained.contributions(row) for row in rows]), own_contributions(model, rows)
    # XGBoost adds contributions in single precision: with 1,000 trees their sum misses its own margin by up to 4e-5.
    assert (np.abs(ours - theirs) <= 1e-5 * np.maximum(1, np.abs(theirs))).all()
    assert np.abs(ours.sum(axis=1) - own).max() <= 1e-6 * max(1, len(trees.starts) - 1)


@pytest.mark.parametrize("seed", [3, 4, 6])
def test_rows_at_the_thresholds_and_one_bit_off_get_xgboosts_bits(seed: int) -> None:
    """In steps of a double and of a single, beyond the range of single precision, and next to zero."""
    model, rows = random_booster(seed)
    trees = read_trees(as_json(model))
    generator = np.random.default_rng(seed)
    single = trees.value[(trees.left >= 0) & (trees.bitset < 0)]
    inner = np.concatenate([single, np.nextafter(single, np.float32(9)), np.nextafter(single, np.float32(-9e9))])
    halfway = largest_below(single)
    special = [0.0, -0.0, 1e-36, -1e-36, 1e-46, -1e-46, 1e300, -1e300, 3.5e38, -3.5e38, np.nan]
    values = np.concatenate(
        [inner.astype(np.float64), halfway, np.nextafter(halfway, np.inf), np.nextafter(halfway, -np.inf), special]
    )
    mixed = generator.choice(values, (4000, trees.n_features))
    coded = np.unique(trees.feature[trees.bitset >= 0])
    mixed[:, coded] = generator.choice(rows, 4000)[:, coded]
    # XGBoost's own cast: its DMatrix refuses infinity, in-place prediction does not.
    own = model.inplace_predict(mixed, predict_type="margin", validate_features=False)
    assert all_margins(compiled(trees), mixed).tolist() == own.astype(np.float64).tolist()


def test_the_largest_double_below_a_threshold_answers_xgboosts_question() -> None:
    generator = np.random.default_rng(1)
    largest = np.finfo(np.float32).max
    thresholds = np.concatenate(
        [
            generator.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32),
            np.array([0.0, -0.0, 1e-45, -1e-45, 1.17549435e-38, largest, -largest, 1.0, -1.0], np.float32),
        ]
    )
    thresholds = thresholds[np.isfinite(thresholds)]
    below = largest_below(thresholds)
    with np.errstate(over="ignore"):
        assert (below.astype(np.float32) < thresholds).all()
        above = np.nextafter(below, np.inf)
        assert not (above.astype(np.float32) < thresholds).any()


def test_a_threshold_next_to_zero_is_no_neighbourhood_of_zero() -> None:
    """LightGBM takes 1e-36 for 0; XGBoost does not, and a feature in such units must not be scored as zeros."""
    import xgboost

    values = np.array([[-3e-37], [-1e-37], [1e-37], [3e-37]] * 50)
    data = xgboost.DMatrix(values, [0.0, 1.0, 0.0, 1.0] * 50, feature_names=["x"], feature_types=["float"])
    parameters = {"objective": "binary:logistic", "max_depth": 3, "tree_method": "exact", "nthread": 1}
    model = xgboost.train(parameters, data, 5)
    trees = read_trees(as_json(model))
    own = own_margins(model, values[:4]).astype(np.float64)
    assert len(set(own.tolist())) > 1
    assert all_margins(compiled(trees), values[:4]).tolist() == own.tolist()
    explained = TreeShap(lay_out(as_forest(trees)))
    assert np.abs([explained.contributions(row).sum() for row in values[:4]] - own).max() < 1e-6


def test_a_missing_category_goes_its_own_way_and_an_unknown_one_another() -> None:
    model = booster(2)
    trees = read_trees(as_json(model))
    rows = np.repeat(examples()[0][:50], 4, axis=0)
    rows[:, 2] = np.tile([np.nan, 7.0, 65_000.0, 1.0], 50)
    assert (trees.bitset >= 0).any()
    own = model.inplace_predict(rows, predict_type="margin").astype(np.float64)
    assert all_margins(compiled(trees), rows).tolist() == own.tolist()
    flipped = json.loads(as_json(model))
    for tree in trees_of(flipped):
        tree["default_left"] = [1 - int(side) for side in tree["default_left"]]
    import xgboost

    other = xgboost.Booster(model_file=bytearray(json.dumps(flipped).encode()))
    trees = read_trees(json.dumps(flipped).encode())
    own = other.inplace_predict(rows, predict_type="margin").astype(np.float64)
    assert all_margins(compiled(trees), rows).tolist() == own.tolist()
    theirs, explained = own_contributions(other, rows), TreeShap(lay_out(as_forest(trees)))
    assert np.abs(np.array([explained.contributions(row) for row in rows]) - theirs).max() <= 1e-5


def older(version: list[int], base_score: str) -> bytes:
    """The same model as an older XGBoost writes it."""
    document = json.loads(as_json(booster(1)))
    document["version"] = version
    document["learner"]["learner_model_param"]["base_score"] = base_score
    document["learner"]["gradient_booster"]["model"].pop("cats")
    if version < [1, 6, 0]:
        for tree in trees_of(document):
            tree["default_left"] = [bool(side) for side in tree["default_left"]]
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("version", "base_score"),
    [
        ([1, 5, 2], "5E-1"),
        ([1, 7, 6], "5E-1"),
        ([2, 1, 4], "2.4337499E-1"),
        ([3, 0, 0], "2.5E-1"),
        ([3, 2, 0], "[1E-3]"),
    ],
)
def test_the_forms_of_older_versions_are_read(version: list[int], base_score: str) -> None:
    import xgboost

    content = older(version, base_score)
    rows = examples()[0][:200]
    # XGBoost 3 itself reads no file of before 1.6.
    reference = xgboost.Booster(model_file=bytearray(older([2, 0, 0], base_score)))
    own = reference.inplace_predict(rows, predict_type="margin")
    assert all_margins(compiled(read_trees(content)), rows).tolist() == own.astype(np.float64).tolist()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_before_it_is_used(damage: str) -> None:
    content = as_json(booster(2))
    damaged = DAMAGES[damage](content)
    assert damaged != content
    with pytest.raises(NotWholeError, match=r" - at model\.json"):
        read_trees(damaged)


def test_any_changed_byte_is_refused_or_still_walks_inside_the_tables() -> None:
    content = as_json(booster(1)[:2])
    generator = np.random.default_rng(3)
    rows, refused = examples()[0][:3], 0
    for _ in range(400):
        place, byte = int(generator.integers(len(content))), int(generator.choice(list(b"0159-,.]}n")))
        damaged = content[:place] + bytes([byte]) + content[place + 1 :]
        try:
            trees = read_trees(damaged)
        except ContractError:
            refused += 1
            continue
        margin = compiled(trees)
        assert all_margins(margin, rows).tolist() == [walk(trees, row) for row in rows]
    assert refused > 100


def test_what_cannot_be_scored_is_refused_by_name() -> None:
    cases = {
        "got 'binary:logitraw'": booster(1, "binary:logitraw"),
        "got 'reg:squarederror'": booster(1, "reg:squarederror"),
        "got 'multi:softprob'": booster(1, "multi:softprob", num_class=3),
        "got 'rank:pairwise'": booster(1, "rank:pairwise"),
        "got 'dart'": booster(1, booster="dart"),
        "got 'gblinear'": booster(1, booster="gblinear"),
    }
    for message, model in cases.items():
        with pytest.raises(ContractError, match=f"{message}.*possible is a binary classifier of XGBoost"):
            read_trees(as_json(model))


def test_ubjson_is_refused_with_the_remedy() -> None:
    with pytest.raises(ContractError, match=r'got UBJSON; save it with `booster.save_model\("model.json"\)`'):
        read_trees(bytes(booster(1).save_raw("ubj")))


def test_a_model_without_names_of_inputs_is_refused() -> None:
    model = booster(1).copy()
    model.feature_names = None
    with pytest.raises(
        ContractError, match=r"Expected the names of 4 inputs, got 0 names.*set `booster.feature_names`"
    ):
        read_trees(as_json(model))


def test_rounds_after_the_best_one_are_refused_with_both_remedies() -> None:
    model = booster(1).copy()
    model.set_attr(best_iteration="9")
    with pytest.raises(ContractError, match=r"got 15 rounds of which early stopping kept 10; save `booster\[:10\]`"):
        read_trees(as_json(model))
    rows = examples()[0][:100]
    for kept in (model[:10], booster(1)):
        own = kept.inplace_predict(rows, predict_type="margin").astype(np.float64)
        assert all_margins(compiled(read_trees(as_json(kept))), rows).tolist() == own.tolist()
    model.set_attr(best_iteration=None)
    assert len(read_trees(as_json(model)).starts) == 16


def test_a_newer_major_version_is_refused_by_name() -> None:
    document = json.loads(as_json(booster(1)))
    document["version"] = [4, 0, 0]
    with pytest.raises(ContractError, match=r"Expected a model of XGBoost 1 to 3, got version 4\.0\.0"):
        read_trees(json.dumps(document).encode())


def test_names_of_categories_are_read() -> None:
    import pandas
    import xgboost

    table = pandas.DataFrame({"x": np.arange(60.0), "kind": pandas.Categorical(["Öl", "gas", "coal"] * 20)})
    data = xgboost.DMatrix(table, [0, 1, 0] * 20, enable_categorical=True)
    model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 2)
    assert read_trees(as_json(model)).category_names == ((), (b"coal", b"gas", "Öl".encode()[:2]))


def scorer_of(model: Any, **changes: Any) -> XGBoostScorer:
    schema = [msgspec.structs.replace(feature, **changes.get(feature.name, {})) for feature in SCHEMA]
    trees = read_trees(as_json(model))
    check_inputs(trees, schema)
    return XGBoostScorer(trees)


def test_the_scorer_gives_xgboosts_bits_compiled_and_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = examples()[0][:200]
    own = own_margins(booster(3), rows).astype(np.float64).tolist()
    fast = scorer_of(booster(3))
    assert fast.is_compiled
    assert [fast.margin(row) for row in rows.tolist()] == own
    monkeypatch.setattr("serving.scoring.margin.layout.HIGHEST_RANK", 3)
    slow = scorer_of(booster(3))
    assert not slow.is_compiled
    assert [slow.margin(row) for row in rows.tolist()] == own


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'numba'"),
        pytest.param(RuntimeError("LLVM: invalid module"), marks=pytest.mark.long),
    ],
    ids=type,
)
def test_a_scorer_without_the_kernel_walks_the_trees(
    monkeypatch: pytest.MonkeyPatch, caplog: Any, error: Exception
) -> None:
    rows = examples()[0][:50].tolist()
    own = [scorer_of(booster(3)).margin(row) for row in rows]

    def missing(forest: Any) -> Any:
        raise error

    monkeypatch.setattr(Margins, "from_forest", missing)
    slow = scorer_of(booster(3))
    assert not slow.is_compiled
    assert [slow.margin(row) for row in rows] == own
    assert str(error) in caplog.text


def test_another_kernel_than_the_rules_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """As if a threshold's boundary had been taken one bit too high."""
    too_high = lambda thresholds: np.nextafter(largest_below(thresholds), np.inf)  # noqa: E731
    monkeypatch.setattr("serving.scoring.xgboost.forest.largest_below", too_high)
    assert not scorer_of(booster(3)).is_compiled
    assert "without compiled code, which differs" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": {"name": "sum"}}, r"missing \['sum'\], others \['amount'\] - at model\.json, feature_names"),
        ({"amount": {"name": "is_night"}, "is_night": {"name": "amount"}}, r"got the order \['amount', 'is_night'"),
        ({"kind": {"dtype": "int", "categories": None}}, "Expected a numeric type for the input 'kind' of dtype int"),
        ({"amount": {"dtype": "category", "categories": ("a",)}}, "Expected the type c for the input 'amount' of"),
        ({"kind": {"categories": ("online", "shop")}}, "codes of categories below 2 of the input 'kind', got 2"),
    ],
)  # fmt: skip
def test_other_inputs_than_the_schemas_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        scorer_of(booster(3), **changes)


def test_named_categories_must_be_the_schemas_in_its_order() -> None:
    import pandas
    import xgboost

    names = ("kiosk", "shop", "Öl")
    table = pandas.DataFrame({"kind": pandas.Categorical([*names] * 20, categories=names)})
    data = xgboost.DMatrix(table, [0, 1, 0] * 20, enable_categorical=True)
    trees = read_trees(as_json(xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 2)))
    check_inputs(trees, [Feature(name="kind", dtype="category", categories=names)])
    for other in (("shop", "kiosk", "Öl"), ("kiosk", "shop", "oil"), ("kiosk", "shop")):
        with pytest.raises(ContractError, match=r"Expected the categories .* of the input 'kind' in this order"):
            check_inputs(trees, [Feature(name="kind", dtype="category", categories=other)])
