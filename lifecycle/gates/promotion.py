"""Decides whether a registered model is released: a pure function from the state to an order or a refusal."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.spec.risk_model import PromotionSpec
from serving.contract.documents import Verdict


@dataclass(frozen=True)
class JudgedVersion:
    """A registered bundle, the candidate it was sealed from, and the verdicts on that candidate."""

    bundle_digest: str
    candidate_digest: str
    as_of: dt.date
    verdicts_for: str
    """Digest of the candidate that the verdicts name."""
    verdicts: tuple[Verdict, ...]
    waived: frozenset[str] = frozenset()
    """Gates with a waiver in force (`waiver_policy`)."""


@dataclass(frozen=True)
class Champion:
    """The champion in force."""

    bundle_digest: str
    as_of: dt.date


@dataclass(frozen=True)
class PromotionState:
    """The facts that a promotion is decided on; `is_requested_by_person` for `lifecycle promote`."""

    version: JudgedVersion
    champion: Champion | None
    is_frozen: bool
    is_requested_by_person: bool
    canary_bundle: str | None = None
    """Digest of the canary's bundle, if there is one."""
    newest_as_of: dt.date | None = None
    """Newest ``as_of`` of all champions so far, those that were rolled back included."""
    hold: str | None = None
    """The hold of a rollback, in a sentence; ``None`` if no rollback holds the model."""
    new_fields: tuple[str, ...] = ()
    """Fields that requests to the version carry, and requests to the champion need not: callers may not send them."""
    approval_refusal: str | None = None
    """Why the candidate waits for approval, in a sentence; ``None`` if enough people approved it."""


@dataclass(frozen=True)
class PromotionOrder:
    """Release this bundle as champion."""

    bundle_digest: str
    as_of: dt.date
    reason: str


@dataclass(frozen=True)
class Refusal:
    """The reason against a release. `is_settled` if the bundle already is the champion."""

    reason: str
    is_settled: bool = False


def decide_promotion(state: PromotionState, spec: PromotionSpec, gates: Sequence[str]) -> PromotionOrder | Refusal:
    """Release a version that passed every gate, is newer than the champion and may be promoted now.

    In manual mode and after a rollback only a person promotes; a backfill never asks (`gates.champion`). A freeze, a
    failed gate without a waiver, a missing approval and an ``as_of`` older than the champion's stop a person too (going
    back is a rollback, another command). Automatic promotion compares with the newest champion there ever was, so that
    it never brings back what a rollback left behind, and never demands of callers a field that the champion's requests
    need not have. During a canary only a person promotes, and only the canary's bundle.

    Parameters
    ----------
    gates
        Names of the gates that must have passed.
    """
    version, champion = state.version, state.champion
    if champion is not None and champion.bundle_digest == version.bundle_digest:
        return Refusal("it already is the champion", is_settled=True)
    refusal = _refusal(state, spec, gates)
    if refusal is not None:
        return Refusal(refusal)
    how = "promoted by a person" if state.is_requested_by_person else "promoted automatically"
    waived = sorted(verdict.gate for verdict in version.verdicts if not verdict.is_passed)
    passed = f"{len(version.verdicts) - len(waived)} gates passed"
    reason = f"{how}: {passed}, waived {', '.join(waived)}" if waived else f"{how}: {passed}"
    return PromotionOrder(version.bundle_digest, version.as_of, reason)


def missing_verdicts(version: JudgedVersion, gates: Sequence[str]) -> str | None:
    """Why the verdicts do not allow this version; ``None`` if they do.

    They are another candidate's, or one of them is missing, or failed or is inconclusive without a waiver.
    """
    if version.verdicts_for != version.candidate_digest:
        return f"the verdicts are on candidate {version.verdicts_for[:12]}, not on {version.candidate_digest[:12]}"
    absent = sorted(set(gates) - {verdict.gate for verdict in version.verdicts})
    if absent:
        return f"there is no verdict of {', '.join(absent)}"
    blocking = [verdict for verdict in version.verdicts if verdict.gate not in version.waived]
    failed = sorted(verdict.gate for verdict in blocking if verdict.outcome == "FAIL")
    thin = sorted(verdict.gate for verdict in blocking if verdict.outcome == "INCONCLUSIVE")
    parts = [f"{', '.join(failed)} failed"] if failed else []
    parts += [f"{', '.join(thin)} had too little evidence"] if thin else []
    return "; ".join(parts) or None


def _refusal(state: PromotionState, spec: PromotionSpec, gates: Sequence[str]) -> str | None:
    version, champion = state.version, state.champion
    unproven = missing_verdicts(version, gates)
    if unproven is not None:
        return unproven
    if state.is_frozen:
        return "promotion is frozen"
    if state.canary_bundle is not None and not (
        state.is_requested_by_person and state.canary_bundle == version.bundle_digest
    ):
        return "a canary is in progress: a person must promote it with `lifecycle promote`, or end it first"
    if champion is not None and version.as_of <= champion.as_of:
        return f"its as_of {version.as_of} is not newer than the champion's {champion.as_of}"
    if state.approval_refusal is not None:
        return state.approval_refusal
    return None if state.is_requested_by_person else _refusal_without_person(state, spec)


def _refusal_without_person(state: PromotionState, spec: PromotionSpec) -> str | None:
    as_of, newest = state.version.as_of, state.newest_as_of
    if newest is not None and as_of <= newest:
        return f"its as_of {as_of} is not newer than {newest}, that of a champion that was rolled back"
    if state.hold is not None:
        return state.hold
    if state.new_fields:
        return (
            f"its requests carry {', '.join(state.new_fields)}, which the champion's need not: release it with "
            "`lifecycle shadow`, let callers send that, then run `lifecycle promote`"
        )
    if spec.mode == "manual":
        return "promotion is manual: a person must run `lifecycle promote`"
    return None
