"""Gathers what is kept about a candidate for its validation report; it trains nothing and writes nothing."""

import datetime as dt

from lifecycle.artefacts.against_champion import beside_champion, champion_model
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import EvidenceStore, GateEvidence
from lifecycle.artefacts.known_candidates import known_candidates
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import not_worse_than_champion
from lifecycle.gates.champion import champion_for
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.releases.lookup import candidate_by_prefix
from lifecycle.releases.permission import Permissions
from lifecycle.reports.validation_content import ChampionBeside, Dossier
from lifecycle.reports.validation_points import OpenPoint
from lifecycle.spec.risk_model import RiskModelSpec

_SHORT = 12
_FILE_CHANGED = OpenPoint(
    "the model's file has changed since the candidate was trained; this report describes the file of then, and "
    "approvals by the policy of today",
    "compare the files (spec.json in the candidate's folder), or train again",
    is_blocking=False,
)


def dossier(
    stores: Stores, policy: RiskModelSpec, prefix: str | None, as_of: dt.date | None, now: dt.datetime
) -> Dossier:
    """The dossier of one candidate.

    Parameters
    ----------
    policy
        The model's file of today, which says who must approve.
    prefix
        Beginning of the candidate's digest.
    as_of
        Date whose current candidate is meant. With neither, the current candidate of the newest date.

    Raises
    ------
    LifecycleError
        If there is no such candidate, it was not judged, or its records do not agree with the ledger.
    """
    candidate, evidence_store = _named(stores, policy.name, prefix, as_of)
    evidence, is_backtest = _judged(evidence_store, policy.name, candidate)
    permissions = Permissions(stores.releases(), policy.name, policy.promotion, now)
    permission = permissions.of(candidate.digest, evidence.verdicts)
    spec = candidate.spec or policy
    findings = [] if is_backtest else _against_ledger(permissions, evidence)
    if candidate.spec is not None and candidate.spec != policy:
        findings.append(_FILE_CHANGED)
    return Dossier(
        spec=spec,
        candidate=candidate,
        evidence=evidence,
        is_backtest=is_backtest,
        champion=_beside(stores, spec, candidate, evidence),
        approvals=permission.approvals,
        waivers=permission.waivers,
        trainers=permission.trainers.names,
        is_trainer_known=permission.trainers.is_complete,
        findings=tuple(findings),
    )


def _named(stores: Stores, model: str, prefix: str | None, as_of: dt.date | None) -> tuple[Candidate, EvidenceStore]:
    """The candidate that a person means, and the store of the verdicts on it."""
    if prefix is None:
        candidates = stores.candidates(model)
        day = as_of.isoformat() if as_of else candidates.newest_as_of()
        if day is None:
            raise LifecycleError(
                f"Expected a candidate of {model}, found none; materialise the asset {model}/candidate, or run "
                f"`lifecycle train {model} --as-of DATE` and name the digest that it prints"
            )
        return candidates.current(day), stores.evidence(model)
    known = {digest: one for digest, one in known_candidates(stores.settings).items() if one.model == model}
    digest = candidate_by_prefix(model, prefix, {digest: one.as_of for digest, one in known.items()})
    return known[digest].store.by_digest(digest), known[digest].evidence


def _judged(store: EvidenceStore, model: str, candidate: Candidate) -> tuple[GateEvidence, bool]:
    """The verdicts on a candidate, and whether they are a backtest's."""
    for is_backtest in (False, True):
        if store.has_gates(candidate.digest, is_backtest=is_backtest):
            return store.gates(candidate.digest, is_backtest=is_backtest), is_backtest
    as_of = candidate.lineage.as_of
    raise LifecycleError(
        f"Expected the gates' verdicts on candidate {candidate.digest[:_SHORT]} of {model} as of {as_of}, found none: "
        f"it was not judged; run the checks of {model}/candidate for {as_of} in Dagster, or "
        f"`lifecycle train {model} --as-of {as_of}`, which trains and judges"
    )


def _against_ledger(permissions: Permissions, evidence: GateEvidence) -> list[OpenPoint]:
    try:
        permissions.expect_judged(evidence)
    except LifecycleError as error:
        text = f"the ledger does not confirm the verdicts: {error}"
        return [OpenPoint(text, "find out what changed before relying on this report", is_blocking=True)]
    return []


def _beside(stores: Stores, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence) -> ChampionBeside:
    """The champion that the candidate was judged against, or else the one that it competes with now."""
    try:
        champion, bundle = _champion(stores, spec.name, candidate, evidence)
    except LifecycleError as error:
        return ChampionBeside(f"The champion cannot be read: {error}", is_missed=True)
    if champion is None:
        return ChampionBeside(
            "There was no champion when the candidate was judged. The holdout and the baseline are the only comparison."
        )
    if champion.digest == candidate.digest:
        return ChampionBeside("The candidate is the champion itself; no other model was compared with it.")
    as_of = champion.lineage.as_of
    name = f"champion {champion.digest[:_SHORT]} as of {as_of}"
    try:
        lineage = candidate.lineage
        table = stores.training_sets(spec.name).read_whole(lineage.as_of, lineage.training_set_digest)
        paired = beside_champion(spec, candidate, examples_from_table(table, spec), champion_model(champion, bundle))
    except LifecycleError as error:
        return ChampionBeside(f"The {name} is not compared: {error}", True, champion.digest, as_of)
    statement = f"Challenger (the candidate's judged model) and {name} on the same rows, which neither was fitted on."
    return ChampionBeside(statement, False, champion.digest, as_of, paired)


def _champion(stores: Stores, model: str, candidate: Candidate, evidence: GateEvidence) -> tuple[Candidate | None, str]:
    """The champion's candidate, and the digest of its bundle if that is known."""
    verdict = next((one for one in evidence.verdicts if one.gate == not_worse_than_champion.NAME), None)
    judged_against = verdict.observed.get("champion") if verdict else None
    if judged_against is not None and judged_against != candidate.digest:
        return stores.candidates(model).by_digest(judged_against), ""
    if verdict is not None and "champion" in verdict.observed and judged_against is None:
        return None, ""
    release = champion_for(stores.releases().history(model), candidate.lineage.as_of)
    return (None, "") if release is None else (stores.champion_candidate(model, release), release.bundle_digest)
