"""Compiled margins against `Booster.predict`, bit for bit, over whatever models LightGBM trains with one output."""

import dataclasses
import logging
import struct
import threading
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings

from serving.scoring import scorer as scorer_module
from serving.scoring.forest import Forest, read_forest
from serving.scoring.margin.evaluator import Evaluation, Margins, first_difference, probes
from serving.scoring.scorer import Scorer
from tests.harness.random_boosters import QUIET, Case, Matrix, cases, retold, trained


def compiled(text: str) -> Callable[[list[float]], float]:
    """The compiled evaluator alone, so that nothing can fall back unseen."""
    evaluation = Evaluation(Margins.from_forest(read_forest(text)))

    def margin(row: list[float]) -> float:
        struct.pack_into(f"{len(row)}d", evaluation.buffer, 0, *row)
        return evaluation.predict()

    return margin


def assert_same_bits(booster: Any, rows: Matrix, text: str | None = None) -> None:
    margin = compiled(booster.model_to_string() if text is None else text)
    found = np.array([margin(row) for row in rows.tolist()])
    expected = booster.predict(rows, raw_score=True, num_threads=1)
    assert found.tobytes() == np.asarray(expected, np.float64).tobytes()


def probed(booster: Any) -> Matrix:
    return np.array(list(probes(read_forest(booster.model_to_string()))))


SCALES = (1.0, 1e-35, 1e-34, 1e-300, 1e300)


@settings(max_examples=150, deadline=None)
@given(cases([2, 3, 7, 31, 128, 400], [2, 4, 255, 4095], [1, 2, 8, 17, 40, 150], SCALES))
def test_margins_are_lightgbms_bits_for_any_model_and_any_row(case: Case) -> None:
    booster, rows = case.booster_and_rows()
    assert_same_bits(booster, np.vstack([rows, probed(booster)]))


def numeric(generator: np.random.Generator, rows: int = 600, columns: int = 4) -> tuple[Matrix, Matrix]:
    matrix = generator.normal(size=(rows, columns))
    matrix[generator.random(matrix.shape) < 0.1] = np.nan
    return matrix, (np.nan_to_num(matrix).sum(axis=1) > 0).astype(float)


@pytest.mark.parametrize("flags", range(0, 16, 2))
def test_each_way_of_taking_missing_values_gives_lightgbms_bits(flags: int) -> None:
    """The two bits of the missing kind and the one of the default side, with infinite thresholds among the others."""
    booster = trained(*numeric(np.random.default_rng(5)), {"objective": "binary", "num_leaves": 15}, 20, [])
    lines = []
    for line in booster.model_to_string().splitlines():
        key, _, value = line.partition("=")
        words = value.split(" ")
        if key == "decision_type":
            words = [str(flags) if number % 3 else "10" for number in range(len(words))]
        elif key == "threshold":
            swapped = {0: "inf", 4: "-inf", 7: "1e-35", 9: "-1.0000000180025095e-35", 11: "0"}
            words = [swapped.get(number, word) for number, word in enumerate(words)]
        lines.append(line if key not in {"decision_type", "threshold"} else f"{key}={' '.join(words)}")
    changed = "\n".join(line for line in lines if not line.startswith("tree_sizes=")) + "\n"
    booster = lightgbm.Booster(model_str=changed)
    assert "inf" in booster.model_to_string()
    assert_same_bits(booster, np.vstack([probed(booster), numeric(np.random.default_rng(6))[0]]), changed)


def test_monotone_trees_give_lightgbms_bits() -> None:
    matrix, target = numeric(np.random.default_rng(8))
    limits = {"monotone_constraints": [1, -1, 0, 1], "monotone_constraints_method": "advanced"}
    booster = trained(matrix, target, {"objective": "binary", **limits}, 60, [])
    assert_same_bits(booster, np.vstack([matrix, probed(booster)]))


def test_trees_of_one_leaf_are_added_in_their_place() -> None:
    """Some trees in the middle are made constant: 0.1, 1e16 and -1e16 give other bits in any other order."""
    matrix, target = numeric(np.random.default_rng(2))
    text = trained(matrix, target, {"objective": "binary", "num_leaves": 7}, 45, []).model_to_string()
    header, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    for number, value in {0: "0.1", 7: "1e16", 8: "-1e16", 20: "-0", 21: "3", 44: "1e-3"}.items():
        trees[number] = (
            f"{number}\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\nleft_child=\n"
            f"right_child=\nleaf_value={value}\nleaf_weight=\nleaf_count=\ninternal_value=\ninternal_weight=\n"
            "internal_count=\nis_linear=0\nshrinkage=1\n\n"
        )
    header = "\n".join(line for line in header.splitlines() if not line.startswith("tree_sizes="))
    changed = "\nTree=".join([header, *trees]) + "\nend of trees\n"
    booster = lightgbm.Booster(model_str=changed)
    assert booster.num_trees() == 45
    assert_same_bits(booster, matrix, changed)


@pytest.mark.parametrize("n_trees", [1, 15, 16, 17, 127, 128, 129, 300])
def test_any_number_of_trees_gives_lightgbms_bits(n_trees: int) -> None:
    matrix, target = numeric(np.random.default_rng(4))
    booster = trained(matrix, target, {"objective": "binary", "num_leaves": 9, "learning_rate": 0.02}, n_trees, [])
    assert booster.num_trees() == n_trees
    assert_same_bits(booster, matrix)


def test_a_model_without_a_split_gives_lightgbms_bits() -> None:
    matrix, _ = numeric(np.random.default_rng(4), rows=40)
    booster = trained(matrix, np.full(40, 0.3), {"objective": "regression", "min_data_in_leaf": 30}, 3, [])
    assert_same_bits(booster, matrix)


def test_trees_of_an_interrupted_and_continued_training_give_lightgbms_bits() -> None:
    """Missing values are taken in two ways for one feature."""
    matrix, target = numeric(np.random.default_rng(4))
    first = lightgbm.train(QUIET | {"objective": "binary"}, lightgbm.Dataset(matrix, target), 10)
    other = QUIET | {"objective": "binary", "zero_as_missing": True}
    rows = lightgbm.Dataset(np.nan_to_num(matrix).round(0), target, params=other)
    booster = retold(lightgbm.train(other, rows, 10, init_model=first))
    assert_same_bits(booster, np.vstack([matrix, probed(booster)]))


def scorer_of(booster: Any, forest: Forest | None = None) -> Scorer:
    return Scorer(booster.model_to_string().encode(), booster.feature_name(), forest)


def small() -> tuple[Any, Matrix]:
    matrix, target = numeric(np.random.default_rng(4))
    return trained(matrix, target, {"objective": "binary", "num_leaves": 9}, 40, []), matrix


def assert_scores(scorer: Scorer, booster: Any, rows: Matrix) -> None:
    found = np.array([scorer.margin(row) for row in rows.tolist()])
    assert found.tobytes() == booster.predict(rows, raw_score=True).tobytes()


def test_a_scorer_takes_the_compiled_margins() -> None:
    booster, rows = small()
    scorer = scorer_of(booster)
    assert scorer.is_compiled
    assert_scores(scorer, booster, rows)
    assert scorer_of(booster, read_forest(booster.model_to_string())).is_compiled


def test_a_scorer_whose_evaluators_differ_warns_once_and_takes_lightgbms(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    booster, rows = small()

    def changed(text: bytes) -> Forest:
        forest = read_forest(text)
        value = forest.leaf_value.copy()
        value[3] = np.nextafter(value[3], 9)
        return dataclasses.replace(forest, leaf_value=value)

    monkeypatch.setattr(scorer_module, "forest_if_supported", changed)
    with caplog.at_level(logging.WARNING):
        scorer = scorer_of(booster)
        assert_scores(scorer, booster, rows)
    assert not scorer.is_compiled
    assert ["compiled ones differ" in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'numba'"), RuntimeError("LLVM: invalid module")], ids=type
)
def test_a_scorer_without_the_kernel_takes_lightgbms_margins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def missing(forest: Forest) -> Margins:
        raise error

    monkeypatch.setattr(Margins, "from_forest", missing)
    booster, rows = small()
    with caplog.at_level(logging.WARNING):
        scorer = scorer_of(booster)
    assert not scorer.is_compiled
    assert str(error) in caplog.text
    assert_scores(scorer, booster, rows)


def test_linear_trees_take_lightgbms_margins() -> None:
    matrix, target = numeric(np.random.default_rng(4))
    booster = trained(matrix, target, {"objective": "binary", "linear_tree": True}, 5, [])
    scorer = scorer_of(booster)
    assert not scorer.is_compiled
    assert_scores(scorer, booster, matrix)


def test_a_forest_of_another_text_is_found_out() -> None:
    booster, rows = small()
    matrix, target = numeric(np.random.default_rng(40))
    other = trained(matrix, target, {"objective": "binary", "num_leaves": 9}, 40, [])
    scorer = scorer_of(booster, read_forest(other.model_to_string()))
    assert not scorer.is_compiled
    assert_scores(scorer, booster, rows)


def test_numbers_are_those_lightgbm_holds_where_it_writes_a_text_otherwise() -> None:
    booster, rows = small()
    lines = booster.model_to_string().splitlines()
    changed = [f"{line}0000" if line.startswith("leaf_value=") and "e" not in line[-5:] else line for line in lines]
    assert changed != lines
    text = "\n".join(line for line in changed if not line.startswith("tree_sizes=")) + "\n"
    scorer = Scorer(text.encode(), booster.feature_name(), read_forest(text))
    assert scorer.is_compiled
    assert_scores(scorer, lightgbm.Booster(model_str=text), rows)


def test_probes_meet_every_leaf_of_a_usual_model_bar_a_few() -> None:
    """How far the comparison at loading reaches."""
    booster, _ = small()
    leaves = booster.predict(probed(booster), pred_leaf=True)
    met = sum(len(np.unique(leaves[:, tree])) for tree in range(leaves.shape[1]))
    assert met >= 0.9 * 9 * leaves.shape[1]


def test_a_difference_of_one_bit_is_found() -> None:
    forest = read_forest(small()[0].model_to_string())
    assert first_difference(forest, lambda row: 1.0, lambda row: 1.0) is None
    assert first_difference(forest, lambda row: 0.0, lambda row: -0.0) == 0
    assert struct.pack("<d", 0.0) != struct.pack("<d", -0.0)


def test_threads_have_memory_of_their_own() -> None:
    booster, rows = small()
    scorer, expected = scorer_of(booster), booster.predict(rows, raw_score=True).tolist()
    wrong: list[int] = []

    def score() -> None:
        for _ in range(20):
            found = [scorer.margin(row) for row in rows.tolist()]
            wrong.extend(number for number, value in enumerate(found) if value != expected[number])

    threads = [threading.Thread(target=score) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
