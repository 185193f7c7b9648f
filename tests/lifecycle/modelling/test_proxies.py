import numpy as np
import pytest

from lifecycle.modelling.proxies import proxy_auc

RANDOM = np.random.default_rng(8)
ROWS = 3000
ENTITY = RANDOM.integers(1500, size=ROWS)
SEX = np.where(RANDOM.random(1500) < 0.5, "f", "m").astype(object)[ENTITY]
NOISE = RANDOM.normal(size=(ROWS, 2))


def test_features_that_know_nothing_of_the_attribute_do_not_predict_it() -> None:
    assert proxy_auc(NOISE, ENTITY, SEX) == pytest.approx({"f": 0.5, "m": 0.5}, abs=0.04)


def test_a_feature_that_stands_for_the_attribute_is_found() -> None:
    proxy = np.column_stack([NOISE, (SEX == "f") + 0.3 * RANDOM.normal(size=ROWS)])
    found = proxy_auc(proxy, ENTITY, SEX)
    assert found["f"] > 0.95
    assert proxy_auc(proxy, ENTITY, SEX) == found


def test_a_feature_that_names_the_entity_is_no_proxy() -> None:
    """Without folds by entity, trees would recognise the persons and repeat their attribute."""
    of_entity = RANDOM.normal(size=1500)[ENTITY]
    assert proxy_auc(of_entity[:, None], ENTITY, SEX)["f"] == pytest.approx(0.5, abs=0.05)


def test_rows_without_a_value_and_small_groups_are_left_out() -> None:
    attribute = SEX.copy()
    attribute[:100], attribute[100:200] = None, "x"
    assert set(proxy_auc(NOISE, ENTITY, attribute)) == {"f", "m"}
    assert proxy_auc(NOISE, ENTITY, np.full(ROWS, None)) == {}
    assert proxy_auc(NOISE, ENTITY, np.full(ROWS, "f", dtype=object)) == {}
