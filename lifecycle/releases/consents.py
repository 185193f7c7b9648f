"""Approvals of candidates and waivers of their gates: signed, numbered, append-only documents of each model.

``approvals/<model>/000001.json`` and so on. A withdrawal is a document of its own, so that nothing is ever changed. The
ledger is locked while an act is numbered, announced, written and recorded: two people who act at once both succeed, and
after a kill at any point the same command continues.

An act names the candidate's digest, not a bundle's. The candidate's digest covers everything that decides (trees and
deciding file); a bundle exists only after the gates, so that a waiver could not name one; and approvals and waivers are
on the card that the bundle seals, so that each would change the digest that it is about.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.gates.approval_policy import person_key
from lifecycle.releases.ledger.against_consents import CONSENTS_FOLDER, consent_files, consent_problems, open_consent
from lifecycle.releases.ledger.events import POLICY_NAME, consent_event
from lifecycle.releases.ledger.log import Ledger, Writer
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import Record
from lifecycle.releases.signed_files import create_signed
from lifecycle.signing.envelope import signed_envelope
from lifecycle.signing.keys import Keys
from serving.artefacts.releases import file_name
from serving.contract.documents import SCHEMA_VERSION, Consent, ContractError, IdentitySource, digest
from serving.storage.durable import remove_abandoned

_NAME = re.compile(r"[\w .,@+'-]{1,100}")


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts: the claimed name, and the account that vouches for it."""

    name: str
    account: str
    account_from: IdentitySource = "os_user"

    def __post_init__(self) -> None:
        """Raise `LifecycleError` for a name that is no person's."""
        if not _NAME.fullmatch(self.name) or not person_key(self.name) or self.name.strip() == POLICY_NAME:
            raise LifecycleError(
                f"Expected a person's name of at most 100 letters, digits, spaces and .,@+'-, got {self.name[:100]!r} "
                "- at `--as`"
            )


class Consents:
    """The approvals and waivers of all models, below the release store `root`."""

    def __init__(self, root: Path, keys: Keys, ledger: Ledger) -> None:
        self._root = root
        self._keys = keys
        self._ledger = ledger

    def of(self, model: str) -> tuple[Consent, ...]:
        """Every act on a model's candidates, oldest first.

        Raises
        ------
        LifecycleError
            If one cannot be read, its signature does not verify, or a number is missing.
        """
        return tuple(consent for consent, _ in self._read(model))

    def expect_recorded(self, model: str, records: Sequence[Record]) -> None:
        """Raise `LifecycleError` for the first file that was changed, removed or added since the ledger recorded it."""
        problem = next(consent_problems(records, self._root, model, self._keys.public_keys), None)
        if problem is not None:
            raise LifecycleError(
                f"Expected the approvals and waivers that the ledger recorded, but {problem.message}; restore the "
                f"folder {CONSENTS_FOLDER} of the release store from a backup, or run `lifecycle ledger verify`"
            )

    def approve(
        self, model: str, candidate_digest: str, person: Person, *, reason: str, days: int, now: dt.datetime
    ) -> Consent:
        """Approve a candidate for some days, from `now` on; as `_act`."""
        act = self._draft(model, candidate_digest, None, person, reason, now)
        return self._act(msgspec.structs.replace(act, expires_at=now + dt.timedelta(days=days)))

    def waive(
        self,
        model: str,
        candidate_digest: str,
        gate: str,
        person: Person,
        *,
        reason: str,
        until: dt.datetime,
        now: dt.datetime,
    ) -> Consent:
        """Waive a gate of a candidate before `until`; as `_act`, and raises if that is not after `now`."""
        if until <= now:
            raise LifecycleError(f"Expected a time after now, got {until:%Y-%m-%d %H:%M} UTC - at `--until`")
        act = self._draft(model, candidate_digest, gate, person, reason, now)
        return self._act(msgspec.structs.replace(act, expires_at=until))

    def withdraw(
        self, model: str, candidate_digest: str, gate: str | None, person: Person, *, reason: str, now: dt.datetime
    ) -> Consent:
        """Withdraw a person's approval, or anyone's waiver of a gate; raises as `_act`, and if it does not exist."""
        act = self._draft(model, candidate_digest, gate, person, reason, now)
        return self._act(msgspec.structs.replace(act, is_withdrawal=True))

    def _draft(
        self, model: str, candidate_digest: str, gate: str | None, person: Person, reason: str, now: dt.datetime
    ) -> Consent:
        if not reason.strip():
            raise LifecycleError("Expected a reason, got an empty text - at `--reason`")
        return Consent(
            schema_version=SCHEMA_VERSION,
            model=model,
            number=0,
            candidate_digest=candidate_digest,
            gate=gate,
            name=person.name,
            account=person.account,
            account_from=person.account_from,
            reason=reason,
            acted_at=now,
        )

    def _act(self, wanted: Consent) -> Consent:
        """Record and write an act; one that repeats the last act on the same thing returns it and writes nothing.

        Raises
        ------
        LifecycleError
            If the ledger or the store cannot be written, or an earlier act is damaged.
        """
        with self._ledger.locked() as writer:
            earlier = self._read(wanted.model)
            self.expect_recorded(wanted.model, read_records(self._root))
            self._settle(writer, wanted.model, earlier)
            last = _last_on_the_same(wanted, earlier)
            if last is not None and _is_repeated(wanted, last):
                return last
            if wanted.is_withdrawal and (last is None or last.is_withdrawal):
                what = f"an approval by {wanted.name}" if wanted.gate is None else f"a waiver of {wanted.gate}"
                raise LifecycleError(
                    f"Expected {what} of candidate {wanted.candidate_digest[:12]} to withdraw, found none; "
                    f"`lifecycle approvals {wanted.model}` shows what was given"
                )
            act = msgspec.structs.replace(wanted, number=len(earlier) + 1)
            content = signed_envelope(act, self._keys)
            writer.append(consent_event(act, digest(content), is_written=False))
            path = self._root / CONSENTS_FOLDER / act.model / file_name(act.number)
            if not create_signed(path, act, self._keys, "consent"):
                raise LifecycleError(f"Expected no file, found one - at {path}; run the command again")
            writer.append(consent_event(act, digest(content), is_written=True))
        return act

    def _settle(self, writer: Writer, model: str, earlier: Sequence[tuple[Consent, str]]) -> None:
        """Complete what a killed command left: the record of a file that it wrote, and its temporary files."""
        for consent, file_digest in earlier[-1:]:
            writer.append(consent_event(consent, file_digest, is_written=True))
        names = {file_name(number) for number in range(1, len(earlier) + 1)}
        remove_abandoned(self._root / CONSENTS_FOLDER / model, names)

    def _read(self, model: str) -> list[tuple[Consent, str]]:
        """The acts with the digests of their files."""
        acts = []
        for number, (name, content) in enumerate(consent_files(self._root, model).items(), start=1):
            where = f"{CONSENTS_FOLDER}/{model}/{name}"
            try:
                if name != file_name(number):
                    raise ContractError(f"Expected the act {file_name(number)}, found none before {name} - at {where}")
                acts.append((open_consent(content, model, name, self._keys.public_keys, where), digest(content)))
            except ContractError as error:
                raise LifecycleError(
                    f"{error}; nothing of {model} is approved, waived or promoted until the file is restored from a "
                    "backup"
                ) from error
        return acts


def _last_on_the_same(wanted: Consent, earlier: Sequence[tuple[Consent, str]]) -> Consent | None:
    """The last approval of the same person, or the last waiver of the same gate, of the same candidate."""
    for consent, _ in reversed(earlier):
        is_same = (consent.candidate_digest, consent.gate) == (wanted.candidate_digest, wanted.gate)
        if is_same and (wanted.gate is not None or person_key(consent.name) == person_key(wanted.name)):
            return consent
    return None


def _is_repeated(wanted: Consent, last: Consent) -> bool:
    """Whether an act says what the last one says, with an expiry on the same day, as a repeated command does."""
    said, before = (
        (act.is_withdrawal, act.name, act.account, act.reason, act.expires_at and act.expires_at.date())
        for act in (wanted, last)
    )
    return said == before
