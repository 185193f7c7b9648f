import numpy as np
import optuna
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling import fitting
from lifecycle.modelling.fitting import FitRows
from lifecycle.modelling.search import DEFAULT, FoldRows, search
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.risk_model import FeatureSpec, RiskModelSpec
from lifecycle.spec.training import SearchSpec

SEARCH = SearchSpec(trials=3, num_threads=1)


@pytest.fixture(scope="module")
def folds(examples: Examples) -> list[FoldRows]:
    is_positive = ~np.isnat(examples.known_at)
    parts = [
        FitRows(examples.features[rows], is_positive[rows]) for rows in np.array_split(np.arange(len(examples)), 3)
    ]
    return [FoldRows(parts[0], parts[1]), FoldRows(parts[1], parts[2])]


def test_a_search_is_repeatable_starts_with_the_default_and_tells_its_progress(
    folds: list[FoldRows], spec: RiskModelSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, int, int]] = []
    verbosity = optuna.logging.get_verbosity()
    first = search(folds, spec.features, SEARCH, lambda *report: told.append(report))
    again = search(folds, spec.features, SEARCH)
    assert again.trials == first.trials
    assert [m.tobytes() for m in again.validation_margins] == [m.tobytes() for m in first.validation_margins]
    assert first.trials[0].parameters == DEFAULT
    assert first.trials[first.choice.best].score == max(trial.score for trial in first.trials)
    assert told == [("search", 1, 3), ("search", 2, 3), ("search", 3, 3)]
    assert optuna.logging.get_verbosity() == verbosity
    assert capfd.readouterr() == ("", "")
    other_seed = search(folds, spec.features, SearchSpec(trials=3, num_threads=1, seed=1))
    assert other_seed.trials[1].parameters != first.trials[1].parameters


def test_the_best_trials_score_is_that_of_models_refitted_with_its_parameters(
    folds: list[FoldRows], spec: RiskModelSpec
) -> None:
    from sklearn.metrics import average_precision_score

    found = search(folds, spec.features, SEARCH)
    best = found.chosen
    again = []
    for fold, grown in zip(folds, found.validation_margins, strict=True):
        text = fitting.fit(
            fold.train, spec.features, best.parameters, best.rounds, seed=SEARCH.seed, num_threads=SEARCH.num_threads
        )
        margins = fitting.margins(text, fold.validation.features)
        assert margins.tobytes() == grown.tobytes()
        again.append(average_precision_score(fold.validation.is_positive, margins))
    np.testing.assert_allclose(again, best.fold_scores, rtol=1e-6)
    assert best.score == pytest.approx(np.mean(again))


def test_the_area_under_the_curve_can_be_the_objective(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    found = search(folds, spec.features, SearchSpec(trials=1, num_threads=1, metric="roc_auc"))
    assert 0.8 < found.chosen.score < 1.0


def test_a_fold_without_frauds_is_named(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    empty = FitRows(folds[0].validation.features, np.zeros_like(folds[0].validation.is_positive))
    with pytest.raises(LifecycleError, match="got 0 positive ones of 2000 - at the validation window of fold 1"):
        search([folds[0], FoldRows(folds[0].train, empty)], spec.features, SEARCH)


def test_the_same_rows_give_the_same_text_and_the_seed_is_in_it(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    def text(seed: int) -> bytes:
        return fitting.fit(folds[0].train, spec.features, DEFAULT, 20, seed=seed, num_threads=1)

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert b"[num_threads: 1]" in text(1)
    assert b"[max_bin: 4095]" in text(1)


def test_margins_do_not_depend_on_the_threads_or_the_batch(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    text = fitting.fit(folds[0].train, spec.features, DEFAULT, 20, seed=1, num_threads=1)
    rows = folds[0].validation.features
    margins = fitting.margins(text, rows)
    assert margins.tobytes() == fitting.margins(text, rows, num_threads=2).tobytes()
    assert margins[:10].tolist() == [fitting.margins(text, rows[i : i + 1])[0] for i in range(10)]
    with pytest.raises(LifecycleError, match="Expected 4 features, got 3"):
        fitting.margins(text, rows[:, :3])


def test_a_monotone_feature_never_lowers_the_margin(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    schema = [FeatureSpec(**{**spec.features[0].model_dump(by_alias=True), "monotone": 1}), *spec.features[1:]]
    text = fitting.fit(folds[0].train, schema, DEFAULT, 50, seed=1, num_threads=1)
    row = folds[0].train.features[0]
    rising = np.tile(row, (200, 1))
    rising[:, 0] = np.linspace(0, 400, 200)
    assert (np.diff(fitting.margins(text, rising)) >= 0).all()


def test_importance_is_each_features_share_of_the_gain(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    text = fitting.fit(folds[0].train, spec.features, DEFAULT, 20, seed=1, num_threads=1)
    shares = fitting.importance(text)
    assert set(shares) == set(spec.feature_names)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert next(iter(shares)) in {"amount", "risk"}


def test_a_search_ends_when_further_trials_bring_nothing(folds: list[FoldRows], spec: RiskModelSpec) -> None:
    found = search(folds, spec.features, SearchSpec(trials=40, patience=2, num_threads=1))
    assert found.choice.is_stopped_early
    assert len(found.trials) % 2 == 1
    assert len(found.trials) < 40
    short = search(folds, spec.features, SearchSpec(trials=3, patience=2, num_threads=1))
    assert not short.choice.is_stopped_early
    assert [trial.parameters for trial in found.trials[:3]] == [trial.parameters for trial in short.trials]
