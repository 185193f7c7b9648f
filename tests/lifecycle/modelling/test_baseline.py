import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lifecycle.errors import LifecycleError
from lifecycle.modelling.baseline import fit_baseline
from lifecycle.modelling.fitting import FitRows
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.risk_model import FeatureSpec, RiskModelSpec


def test_the_baseline_is_scikit_learns_logistic_regression_on_standardised_features() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(2000, 2)) * [1.0, 500.0] + [3.0, 1e4]
    is_positive = generator.random(2000) < 1 / (1 + np.exp(-(features[:, 0] - 5.0)))
    schema = [FeatureSpec(name="a"), FeatureSpec(name="b")]
    ours = fit_baseline(FitRows(features, is_positive), schema).predict(features)
    twin = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-12)).fit(features, is_positive)
    np.testing.assert_allclose(ours.scores, twin.predict_proba(features)[:, 1], rtol=1e-6)


def test_the_baseline_takes_nulls_and_categories(examples: Examples, spec: RiskModelSpec) -> None:
    is_positive = ~np.isnat(examples.known_at)
    predictions = fit_baseline(FitRows(examples.features, is_positive), spec.features).predict(examples.features)
    assert np.isfinite(predictions.margins).all()
    assert roc_auc_score(is_positive, predictions.margins) > 0.6


def test_a_baseline_of_one_class_is_refused(examples: Examples, spec: RiskModelSpec) -> None:
    with pytest.raises(LifecycleError, match="got 0 positive ones of 6000 - at the baseline's training window"):
        fit_baseline(FitRows(examples.features, np.zeros(6000, dtype=np.bool_)), spec.features)
