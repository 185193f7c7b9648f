"""May a registered model be released? A pure function from what stands to an order, or to the reason why not."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.spec.risk_model import PromotionSpec
from serving.contract.documents import Verdict


@dataclass(frozen=True)
class JudgedVersion:
    """A registered bundle, the candidate it was sealed from, and what was said of exactly that candidate."""

    bundle_digest: str
    candidate_digest: str
    as_of: dt.date
    verdicts_for: str
    """Digest of the candidate that the verdicts name."""
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Champion:
    """What stands in the champion's slot."""

    bundle_digest: str
    as_of: dt.date


@dataclass(frozen=True)
class PromotionState:
    """What is known when a promotion is decided; `is_requested_by_person` for `lifecycle promote`."""

    version: JudgedVersion
    champion: Champion | None
    is_frozen: bool
    is_requested_by_person: bool
    canary_bundle: str | None = None
    """Digest of the bundle that answers a share of the traffic, if one does."""


@dataclass(frozen=True)
class PromotionOrder:
    """Release this bundle as champion."""

    bundle_digest: str
    as_of: dt.date
    reason: str


@dataclass(frozen=True)
class Refusal:
    """Why it is not released. `is_settled` where there is nothing to do: it is the champion already."""

    reason: str
    is_settled: bool = False


def decide_promotion(state: PromotionState, spec: PromotionSpec, gates: Sequence[str]) -> PromotionOrder | Refusal:
    """Release a version that passed every gate, is newer than the champion and may be promoted now.

    A person may promote where the mode is manual; no one passes a freeze, a failed gate, or an older ``as_of`` (going
    back is a rollback, another command). While a canary is being tried, only a person promotes, and only its bundle.

    Parameters
    ----------
    gates
        Names of the gates that must have passed.
    """
    version, champion = state.version, state.champion
    if champion is not None and champion.bundle_digest == version.bundle_digest:
        return Refusal("it is the champion already", is_settled=True)
    refusal = _refusal(state, spec, gates)
    if refusal is not None:
        return Refusal(refusal)
    how = "promoted by a person" if state.is_requested_by_person else "promoted automatically"
    return PromotionOrder(version.bundle_digest, version.as_of, f"{how}: {len(version.verdicts)} gates passed")


def missing_verdicts(version: JudgedVersion, gates: Sequence[str]) -> str | None:
    """Why the verdicts do not carry this version: of another candidate, missing or failed; ``None`` if they do."""
    if version.verdicts_for != version.candidate_digest:
        return f"the verdicts are of candidate {version.verdicts_for[:12]}, not of {version.candidate_digest[:12]}"
    absent = sorted(set(gates) - {verdict.gate for verdict in version.verdicts})
    if absent:
        return f"no verdict of {', '.join(absent)}"
    failed = sorted(verdict.gate for verdict in version.verdicts if not verdict.is_passed)
    return f"{', '.join(failed)} failed" if failed else None


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
        return "a canary is being tried: a person promotes it with `lifecycle promote`, or ends it first"
    if champion is not None and version.as_of <= champion.as_of:
        return f"its as_of {version.as_of} is not newer than the champion's {champion.as_of}"
    if spec.mode == "manual" and not state.is_requested_by_person:
        return "promotion is manual: a person promotes it with `lifecycle promote`"
    return None
