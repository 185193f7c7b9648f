"""Evidence of the gate `fair_by_group`: the holdout's decisions by group, and how well the features predict a group."""

import datetime as dt
from collections.abc import Mapping

import numpy as np

from lifecycle.gates.candidate_gates.fair_by_group import FairnessEvidence
from lifecycle.gates.comparison import ChampionModel, JudgedModel, champion_columns
from lifecycle.modelling.group_evidence import DecidedRows, bands_of, compare_groups
from lifecycle.modelling.proxies import proxy_auc
from lifecycle.modelling.ranking import Outcomes, card_codes
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout, predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import AnyArray, FloatArray, IntArray, instant
from serving.contract.documents import Bands


def fairness_evidence(
    spec: RiskModelSpec,
    examples: Examples,
    as_of: dt.date,
    judged: JudgedModel,
    bands: Bands,
    champion: ChampionModel | None,
    attributes: Mapping[str, AnyArray],
) -> FairnessEvidence:
    """The judged model's decisions on the holdout of `as_of`, by group of each protected column and intersection.

    Parameters
    ----------
    bands
        The candidate's own. They are cut on the released model's scores, a probability as the judged model's are.
    champion
        Its decisions are compared on the rows that it was not fitted on; ``None`` without one, or if it is the
        candidate.
    attributes
        A value or ``None`` for each row of the holdout, by protected column.
    """
    outcomes, features = holdout(spec, examples, as_of)
    scores = predict(judged.text, judged.calibration, features).scores
    entity, _ = card_codes(outcomes.entity)
    rows = DecidedRows(
        entity=entity,
        is_event=outcomes.is_positive,
        scores=scores,
        bands=bands_of(scores, bands),
        champion_bands=None if champion is None else _champion_bands(spec, champion, outcomes, features),
    )
    columns, fairness = tuple(attributes), spec.fairness
    categorical = [position for position, feature in enumerate(spec.features) if feature.dtype == "category"]
    return FairnessEvidence(
        partitions=compare_groups(
            rows,
            attributes,
            (*((column,) for column in columns), *fairness.intersections),
            minimum_rows=fairness.minimum_rows,
            minimum_events=fairness.minimum_events,
            confidence=fairness.confidence,
        ),
        proxy_auc={
            column: proxy_auc(features, entity, attributes[column], categorical, fairness.minimum_rows)
            for column in columns
        },
    )


def _champion_bands(spec: RiskModelSpec, champion: ChampionModel, outcomes: Outcomes, features: FloatArray) -> IntArray:
    theirs = predict(champion.text, champion.calibration, champion_columns(spec, champion, features))
    is_unseen = outcomes.occurred_at >= instant(champion.trained_until)
    return np.where(is_unseen, bands_of(theirs.scores, champion.bands), -1)
