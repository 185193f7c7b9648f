"""Reads the champion in force from the stores."""

import datetime as dt

from lifecycle.assets.resources import Stores
from lifecycle.gates.champion import champion_for
from lifecycle.monitoring.traffic import ChampionInForce
from lifecycle.spec.risk_model import RiskModelSpec


def standing_champion(spec: RiskModelSpec, stores: Stores, as_of: dt.date) -> ChampionInForce | None:
    """The champion of a date; ``None`` where there was none."""
    champion = champion_for(stores.releases().history(spec.name), as_of.isoformat())
    if champion is None:
        return None
    return ChampionInForce(champion, stores.champion_candidate(spec.name, champion))
