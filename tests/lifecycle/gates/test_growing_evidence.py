"""The gate with a margin on a real training: folds that the champion has not seen, clusters, and each outcome."""

import dataclasses
import datetime as dt
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from lifecycle.gates.candidate_gates.beats_baseline import beats_baseline
from lifecycle.gates.candidate_gates.not_worse_than_champion import not_worse_than_champion
from lifecycle.gates.comparison import ChampionModel, JudgedModel, compare_with_baseline, compare_with_champion
from lifecycle.modelling.earlier_folds import earlier_folds
from lifecycle.modelling.fitting import FitRows, fit
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Outcome, Verdict
from tests.harness.toy_model import AS_OF, spec_with


@pytest.fixture
def model(trained: Trained) -> Trained:
    return trained


LONG_AGO, LAST_WEEK = dt.date(2024, 1, 1), dt.date(2024, 1, 23)


def with_gates(spec: RiskModelSpec, **changes: object) -> RiskModelSpec:
    return spec.model_copy(update={"gates": spec.gates.model_copy(update=changes)})


def recipe(spec: RiskModelSpec, model: Trained) -> JudgedModel:
    refit = partial(
        fit, schema=spec.features, parameters=model.parameters, rounds=model.rounds, seed=model.seed, num_threads=1
    )
    return JudgedModel(model.judged_model_text, model.judged_calibration, refit)


def untaught(spec: RiskModelSpec, model: Trained, examples: Examples) -> JudgedModel:
    """A recipe that learns nothing: it is fitted on labels in a random order."""
    shuffled = np.random.default_rng(1)

    def refit(rows: FitRows) -> bytes:
        learned = recipe(spec, model).refit
        assert learned is not None
        return learned(FitRows(rows.features, shuffled.permutation(rows.is_positive)))

    rows = earlier_folds(spec, examples, AS_OF, 1, LONG_AGO)[0].learned
    return JudgedModel(refit(rows), model.judged_calibration, refit)


def champion(spec: RiskModelSpec, model: Trained, trained_until: dt.date) -> ChampionModel:
    text, calibration, bands = model.judged_model_text, model.judged_calibration, model.deciding.bands
    return ChampionModel("b", trained_until, text, calibration, spec.feature_names, bands)


def verdict(spec: RiskModelSpec, examples: Examples, judged: JudgedModel, against: ChampionModel) -> Verdict:
    compared = compare_with_champion(spec, examples, AS_OF, judged, against)
    return not_worse_than_champion("candidate", "champion", compared, spec.gates, spec.training, 2)


def test_no_fold_is_older_than_what_the_champion_has_seen_or_lacks_days_to_learn_from(
    spec: RiskModelSpec, examples: Examples
) -> None:
    folds = earlier_folds(spec, examples, AS_OF, 9, LONG_AGO)
    assert [(fold.start, fold.end) for fold in folds] == [(dt.date(2024, 1, 16), LAST_WEEK)]
    assert earlier_folds(spec, examples, AS_OF, 9, dt.date(2024, 1, 16)) != []
    assert earlier_folds(spec, examples, AS_OF, 9, dt.date(2024, 1, 17)) == []
    assert earlier_folds(spec, examples, AS_OF, 0, LONG_AGO) == []


def test_a_fold_learns_nothing_that_was_known_after_it_began(spec: RiskModelSpec, examples: Examples) -> None:
    [fold] = earlier_folds(spec, examples, AS_OF, 1, LONG_AGO)
    late = dataclasses.replace(examples, known_at=examples.known_at.copy())
    late.known_at[late.occurred_at < np.datetime64("2024-01-15")] = np.datetime64("2024-01-20", "us")
    learned = earlier_folds(spec, late, AS_OF, 1, LONG_AGO)
    assert learned == []  # nothing was known of the days before: one outcome only
    assert fold.outcomes.occurred_at.min() >= np.datetime64("2024-01-16")
    assert len(fold.learned.is_positive) == int(
        (
            (examples.occurred_at >= np.datetime64("2024-01-06")) & (examples.occurred_at < np.datetime64("2024-01-14"))
        ).sum()
    )


@pytest.mark.parametrize(
    ("margin", "trained_until", "is_taught", "outcome", "folds"),
    [
        (0.02, LAST_WEEK, True, "PASS", 1),
        (0.02, LONG_AGO, True, "PASS", 1),
        (0.02, LAST_WEEK, False, "FAIL", 1),
        (0.9, LAST_WEEK, False, "PASS", 1),
    ],
)
def test_a_candidate_may_be_worse_by_less_than_the_margin(
    spec: RiskModelSpec, model: Trained, examples: Examples, margin: float, trained_until: dt.date,
    is_taught: bool, outcome: Outcome, folds: int,
) -> None:  # fmt: skip
    strict = with_gates(spec, margin=margin)
    judged = recipe(spec, model) if is_taught else untaught(spec, model, examples)
    found = verdict(strict, examples, judged, champion(spec, model, trained_until))
    assert (found.outcome, found.observed["folds"]) == (outcome, folds)
    assert found.required["low_above"] == -margin


def test_the_gate_looks_at_a_further_fold_if_the_holdout_does_not_decide(
    spec: RiskModelSpec, model: Trained, examples: Examples
) -> None:
    strict = with_gates(spec, margin=0.0001)
    other = recipe(spec, model)
    moved = JudgedModel(fit_of(spec, model, examples), model.judged_calibration, other.refit)
    unseen, seen = (verdict(strict, examples, moved, champion(spec, model, until)) for until in (LONG_AGO, LAST_WEEK))
    assert (unseen.observed["possible_folds"], unseen.observed["folds"]) == (2, 2)
    assert (seen.observed["possible_folds"], seen.observed["folds"]) == (1, 1)
    assert {unseen.outcome, seen.outcome} <= {"INCONCLUSIVE", "FAIL"}
    assert unseen.observed["fold_positives"] > seen.observed["fold_positives"]
    alone = verdict(with_gates(strict, folds=1), examples, moved, champion(spec, model, LONG_AGO))
    assert alone.observed["possible_folds"] == 1
    without_recipe = dataclasses.replace(moved, refit=None)
    assert verdict(strict, examples, without_recipe, champion(spec, model, LONG_AGO)).observed["possible_folds"] == 1


def fit_of(spec: RiskModelSpec, model: Trained, examples: Examples) -> bytes:
    """The recipe on other days."""
    refit = recipe(spec, model).refit
    assert refit is not None
    return refit(earlier_folds(spec, examples, AS_OF, 1, LONG_AGO)[0].learned)


def test_superiority_over_the_baseline_looks_at_folds_too(
    spec: RiskModelSpec, model: Trained, examples: Examples
) -> None:
    strict = with_gates(spec, margin=0.02)
    looked = compare_with_baseline(strict, examples, AS_OF, recipe(spec, model))
    found = beats_baseline(model.baseline_difference, strict.gates, looked)
    assert (found.outcome, looked.decision.outcome, looked.possible) == ("PASS", "PASS", 2)
    untaught_looked = compare_with_baseline(strict, examples, AS_OF, untaught(spec, model, examples))
    assert beats_baseline(model.baseline_difference, strict.gates, untaught_looked).outcome == "FAIL"


def test_declared_clusters_reach_the_comparison_and_an_older_training_set_has_the_entity_alone(
    model: Trained, table: pa.Table
) -> None:
    spec = spec_with(examples={"arrives_in": "card_transactions", "clusters": ["terminal_id"]})
    strict = with_gates(spec, margin=0.02)
    terminals = pa.array(np.random.default_rng(1).integers(0, 50, table.num_rows), pa.int64())
    for rows, ways in ((table.append_column("terminal_id", terminals), 2), (table, 1)):
        examples = examples_from_table(rows, spec)
        assert len(examples.clusters) == ways - 1
        found = verdict(strict, examples, recipe(spec, model), champion(spec, model, LAST_WEEK))
        assert found.observed["clusters"] == ways


def test_without_a_margin_the_rule_is_as_before(spec: RiskModelSpec, model: Trained, examples: Examples) -> None:
    found = verdict(spec, examples, recipe(spec, model), champion(spec, model, LAST_WEEK))
    assert found.outcome == "PASS"
    assert "folds" not in found.observed
    assert "low_above" not in found.required
