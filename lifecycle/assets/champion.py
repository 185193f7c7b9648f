"""Reads the champion in force from the stores."""

import datetime as dt

from lifecycle.assets.partitions import date_of
from lifecycle.assets.resources import Stores
from lifecycle.gates.champion import champion_for
from lifecycle.monitoring.live_performance import recall_metric
from lifecycle.monitoring.traffic import ChampionInForce
from lifecycle.spec.risk_model import RiskModelSpec


def champion_in_force(spec: RiskModelSpec, stores: Stores, as_of: dt.date) -> ChampionInForce | None:
    """The champion of a date; ``None`` if there was none."""
    champion = champion_for(stores.releases().history(spec.name), as_of.isoformat())
    if champion is None:
        return None
    candidate = stores.champion_candidate(spec.name, champion)
    evaluation = candidate.evaluation
    return ChampionInForce(
        bundle_digest=champion.bundle_digest,
        trained_until=date_of(evaluation.trained_until),
        promised_recall=evaluation.holdout.metrics[recall_metric(spec)],
        reference=candidate.reference,
        deciding=candidate.deciding,
        model_text=candidate.model_text,
    )
