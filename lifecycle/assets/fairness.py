"""The gate `fair_by_group` of a candidate: it alone reads protected attributes, and keeps none of them."""

import datetime as dt

from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates.fair_by_group import fair_by_group
from lifecycle.gates.comparison import ChampionModel, JudgedModel
from lifecycle.gates.fairness_evidence import fairness_evidence
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout
from lifecycle.spec.declarations import declarations
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.reading.protected import protected_attributes
from serving.contract.documents import Bands, Verdict


def fairness_verdict(
    spec: RiskModelSpec,
    stores: Stores,
    examples: Examples,
    as_of: dt.date,
    judged: JudgedModel,
    bands: Bands,
    champion: ChampionModel | None,
) -> Verdict:
    """The verdict on a candidate's decisions by group; inconclusive if the attributes cannot be read.

    Parameters
    ----------
    champion
        ``None`` without one, or if it is the candidate.
    """
    protected = spec.protected
    if protected is None or protected.relation is None:
        return fair_by_group(protected, None, spec.fairness)
    outcomes, _ = holdout(spec, examples, as_of)
    try:
        attributes = protected_attributes(
            open_warehouse(stores.settings, Use("fairness", spec.name)),
            declarations(stores.settings).table(protected.relation),
            protected.columns,
            outcomes.entity,
            as_of,
        )
    except LifecycleError as error:
        return fair_by_group(protected, f"the protected attributes could not be read: {error}", spec.fairness)
    evidence = fairness_evidence(spec, examples, as_of, judged, bands, champion, attributes)
    return fair_by_group(protected, evidence, spec.fairness)
