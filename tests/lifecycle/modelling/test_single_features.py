"""How well each feature ranks the outcomes alone: a leak is found whatever its shape is."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lifecycle.modelling.single_features import feature_auc
from lifecycle.spec.risk_model import FeatureSpec

ROWS = 4000
SCHEMA = (
    FeatureSpec(name="plain"),
    FeatureSpec(name="reversed"),
    FeatureSpec(name="missing", is_nullable=True),
    FeatureSpec(name="group", dtype="category", categories=("a", "b", "c")),
    FeatureSpec(name="noise"),
    FeatureSpec(name="constant"),
)


def test_a_leak_is_found_in_either_direction_in_missing_values_and_in_categories() -> None:
    generator = np.random.default_rng(5)
    is_positive = generator.random(ROWS) < 0.05
    plain = is_positive + 0.2 * generator.normal(size=ROWS)
    features = np.column_stack(
        [
            plain,
            -plain,
            np.where(is_positive, np.nan, generator.random(ROWS)),
            np.where(is_positive, 1.0, generator.integers(0, 2, ROWS) * 2.0),
            generator.random(ROWS),
            np.ones(ROWS),
        ]
    )
    found = feature_auc(features, is_positive, SCHEMA)
    assert found["plain"] == pytest.approx(roc_auc_score(is_positive, plain), abs=1e-12)
    assert found["reversed"] == pytest.approx(found["plain"], abs=1e-12)
    assert found["missing"] == found["group"] == 1.0
    assert found["noise"] < 0.6
    assert found["constant"] == 0.5
