"""Decisions of a candidate that differ from the champion's."""

import dataclasses
import datetime as dt

import numpy as np

from lifecycle.gates.comparison import ChampionModel
from lifecycle.gates.served_evidence import SliceFlips, flips_against
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout, predict
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Bands
from tests.harness.toy_model import AS_OF

BANDS = Bands(review_from=0.05, decline_from=0.3)
NEVER = Bands(review_from=None, decline_from=None)


def champion(trained: Trained, bands: Bands) -> ChampionModel:
    names = tuple(feature.name for feature in trained.deciding.features)
    until = dt.date(2024, 1, 1)
    return ChampionModel("b", until, trained.judged_model_text, trained.judged_calibration, names, bands)


def test_flips_are_counted_on_all_rows_and_on_each_slice(
    spec: RiskModelSpec, trained: Trained, examples: Examples
) -> None:
    _, features = holdout(spec, examples, AS_OF)
    scores = predict(trained.judged_model_text, trained.judged_calibration, features).scores
    found = flips_against(spec, (scores, BANDS), champion(trained, NEVER), features)
    assert found is not None
    # A champion that approves everything differs exactly where the candidate stops.
    stopped = scores >= 0.05
    assert 0 < found.share == stopped.mean() < 1
    weekend, segment = features[:, 1], features[:, 2]
    assert found.slices == tuple(
        SliceFlips(name, int(mask.sum()), float(stopped[mask].mean()))
        for name, mask in (
            ("is_weekend = 0", weekend == 0),
            ("is_weekend = 1", weekend == 1),
            ("segment = basic", segment == 0),
            ("segment = gold", segment == 1),
        )
    )


def test_nothing_is_compared_without_rows_or_with_a_champion_of_a_removed_feature(
    spec: RiskModelSpec, trained: Trained, examples: Examples
) -> None:
    _, features = holdout(spec, examples, AS_OF)
    scores = predict(trained.judged_model_text, trained.judged_calibration, features).scores
    same = champion(trained, BANDS)
    unchanged = flips_against(spec, (scores, BANDS), same, features)
    assert unchanged is not None
    assert {unchanged.share, *(each.share for each in unchanged.slices)} == {0.0}
    assert flips_against(spec, (np.empty(0), BANDS), same, features[:0]) is None
    removed = dataclasses.replace(same, feature_names=(*same.feature_names[:-1], "removed"))
    assert flips_against(spec, (scores, BANDS), removed, features) is None
