"""The evidence of the fairness gate: the holdout's rows as the judged model decides them, and the champion's."""

import datetime as dt

import numpy as np
import pytest

from lifecycle.gates.comparison import ChampionModel, JudgedModel
from lifecycle.gates.fairness_evidence import fairness_evidence
from lifecycle.modelling.group_evidence import bands_of
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout, predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import AnyArray
from serving.contract.documents import Bands
from tests.harness.toy_model import AS_OF, spec_with

BANDS = Bands(review_from=0.05, decline_from=0.3)


@pytest.fixture(scope="module")
def protected() -> RiskModelSpec:
    return spec_with(
        protected={"relation": "customers", "columns": ["sex", "age_band"]},
        fairness={"minimum_rows": 50, "minimum_events": 5, "intersections": [["sex", "age_band"]]},
    )


@pytest.fixture(scope="module")
def attributes(protected: RiskModelSpec, examples: Examples) -> dict[str, AnyArray]:
    """Sex by the parity of the card, unknown for one card; the age by its half."""
    entity = holdout(protected, examples, AS_OF)[0].entity
    sex = np.where(entity % 2 == 0, "female", "male").astype(object)
    sex[entity == entity[0]] = None
    return {"sex": sex, "age_band": np.where(entity < 100, "young", "old").astype(object)}


def champion(trained: Trained, trained_until: dt.date, bands: Bands = BANDS) -> ChampionModel:
    names = tuple(feature.name for feature in trained.deciding.features)
    return ChampionModel("b", trained_until, trained.judged_model_text, trained.judged_calibration, names, bands)


def test_the_holdouts_rows_are_counted_by_attribute_and_intersection(
    protected: RiskModelSpec, trained: Trained, examples: Examples, attributes: dict[str, AnyArray]
) -> None:
    judged = JudgedModel(trained.judged_model_text, trained.judged_calibration)
    found = fairness_evidence(protected, examples, AS_OF, judged, BANDS, None, attributes)
    outcomes, features = holdout(protected, examples, AS_OF)
    bands = bands_of(predict(judged.text, judged.calibration, features).scores, BANDS)
    assert [partition.name for partition in found.partitions] == ["sex", "age_band", "sex × age_band"]
    sex, age, both = found.partitions
    assert (sex.rows, sex.missing_rows) == (len(outcomes), int((attributes["sex"] == None).sum()))  # noqa: E711
    assert both.missing_rows == sex.missing_rows
    for group in age.groups:
        is_in = attributes["age_band"] == group.name
        assert (group.rows, group.events) == (int(is_in.sum()), int(outcomes.is_positive[is_in].sum()))
        assert group.metrics is not None
        assert group.metrics["stopped"]["selection_rate"] == pytest.approx(np.mean(bands[is_in] > 0))
    assert {group.name for group in both.groups} == {f"{s} × {a}" for s in ("female", "male") for a in ("old", "young")}
    assert set(found.proxy_auc) == {"sex", "age_band"}
    assert all(partition.champion == () for partition in found.partitions)


def test_the_champion_is_compared_on_the_rows_that_it_was_not_fitted_on(
    protected: RiskModelSpec, trained: Trained, examples: Examples, attributes: dict[str, AnyArray]
) -> None:
    judged = JudgedModel(trained.judged_model_text, trained.judged_calibration)

    def against(rival: ChampionModel) -> list[float]:
        found = fairness_evidence(protected, examples, AS_OF, judged, BANDS, rival, attributes)
        return [each.difference.value for each in found.partitions[1].champion]

    # The same decisions are as fair, and other ones of the same model are not.
    assert against(champion(trained, dt.date(2024, 1, 1))) == [0.0] * 4
    differences = against(champion(trained, dt.date(2024, 1, 1), Bands(review_from=0.01, decline_from=0.3)))
    assert any(difference != 0 for difference in differences)
    assert against(champion(trained, dt.date(2024, 2, 1))) == []
