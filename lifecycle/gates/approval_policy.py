"""Decides whether enough people approved a candidate: a pure function from the acts on it to a standing.

An approval counts for exactly the candidate that it names, until it expires or its person withdraws it. A person counts
once, and one who trained the candidate does not count.
"""

import datetime as dt
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from lifecycle.spec.risk_model import PromotionSpec
from serving.contract.documents import Consent

REQUIRED = {"auto": 0, "one": 1, "two": 2}
"""Number of people by `promotion.approvals`. Two is the four-eyes principle: no one person decides."""
Standing = Literal["given", "expired", "withdrawn", "by the trainer"]
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class PersonsApproval:
    """The last act of a person on a candidate, and whether it counts: only ``given`` does."""

    consent: Consent
    standing: Standing


@dataclass(frozen=True, slots=True)
class Approvals:
    """The approvals of one candidate at one moment; `required` is the number of people that its model demands."""

    model: str
    candidate_digest: str
    required: int
    acts: tuple[PersonsApproval, ...]

    @property
    def counted(self) -> tuple[Consent, ...]:
        """The approvals that count, one a person."""
        return tuple(act.consent for act in self.acts if act.standing == "given")

    @property
    def is_granted(self) -> bool:
        """Whether enough people approved."""
        return len(self.counted) >= self.required

    @property
    def refusal(self) -> str | None:
        """Why the candidate must wait, with the command that a person runs; ``None`` if enough people approved."""
        if self.is_granted:
            return None
        names = ", ".join(consent.name for consent in self.counted)
        others = ", ".join(f"{act.consent.name} ({act.standing})" for act in self.acts if act.standing != "given")
        given = f"{len(self.counted)} of {self.required} given" + (f" ({names})" if names else "")
        return (
            f"it waits for approval: {given}{f', not counted: {others}' if others else ''}; a person who did not train "
            f"it must run `{self.command}`"
        )

    @property
    def command(self) -> str:
        """The command that approves the candidate."""
        return f"lifecycle approve {self.model} {self.candidate_digest[:_SHOWN_DIGITS]} --reason ..."


def approvals_of(
    acts: Sequence[Consent],
    model: str,
    candidate_digest: str,
    spec: PromotionSpec,
    trainers: Collection[str],
    now: dt.datetime,
) -> Approvals:
    """The last approval of each person, in the order of the acts.

    Parameters
    ----------
    acts
        All acts on the model's candidates, oldest first.
    trainers
        Names of the people who trained this candidate, as far as they are known.
    """
    last: dict[str, Consent] = {}
    for act in acts:
        if act.candidate_digest == candidate_digest and act.gate is None:
            last[person_key(identity(act, spec))] = act
    excluded = {person_key(name) for name in trainers}
    judged = tuple(PersonsApproval(act, _standing(act, key in excluded, now)) for key, act in last.items())
    return Approvals(model, candidate_digest, REQUIRED[spec.approvals], judged)


def identity(act: Consent, spec: PromotionSpec) -> str:
    """What tells the person of an act apart from others; the single sign-on's identity is never only claimed."""
    return act.account if spec.approvers == "account" or act.account_from == "single_sign_on" else act.name


def person_key(name: str) -> str:
    """One key for all spellings of a name that differ only by case, spaces or the form of their characters.

    Examples
    --------
    >>> person_key(" Anna  Meier ") == person_key("anna meier") == person_key("ANNAMEIER")
    True
    >>> person_key("anna") == person_key("ben")
    False
    """
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _standing(act: Consent, is_trainer: bool, now: dt.datetime) -> Standing:
    if act.is_withdrawal:
        return "withdrawn"
    if is_trainer:
        return "by the trainer"
    return "expired" if act.expires_at is None or act.expires_at <= now else "given"
