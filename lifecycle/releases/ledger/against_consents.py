"""Compares a ledger with the approvals and waivers of its store.

``approvals/<model>/000001.json`` and so on. A record with the file's digest announces each, and another one follows
once it is written: an act that was announced only may be missing, because its command was killed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lifecycle.releases.ledger.records import Record
from lifecycle.releases.ledger.verify import Problem
from serving.artefacts.releases import file_name, open_envelope
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import Consent, ContractError, digest

CONSENTS_FOLDER = "approvals"
CONSENT_KINDS = ("approval", "waiver")


def models_with_consents(records: Sequence[Record], store: Path) -> list[str]:
    """Models that the ledger or the store has approvals of."""
    folder = store / CONSENTS_FOLDER
    found = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return sorted(found | {record.model or "" for record in records if record.kind in CONSENT_KINDS})


def consent_problems(records: Sequence[Record], store: Path, model: str, keys: PublicKeys) -> Iterator[Problem]:
    """Files that were removed, changed or added, each by its name; raises `OSError`."""
    announced, written = _recorded(records, model, is_written=False), _recorded(records, model, is_written=True)
    found = consent_files(store, model)
    for name, content in found.items():
        where = f"{CONSENTS_FOLDER}/{model}/{name}"
        try:
            number = open_consent(content, model, name, keys, where).number
        except ContractError as error:
            yield Problem("other_approval", None, str(error))
            continue
        allowed = written.get(number) or announced.get(number, frozenset())
        if digest(content) not in allowed:
            yield Problem("other_approval", None, f"{where} is not a file that the ledger recorded")
    for number in sorted(written):
        if file_name(number) not in found:
            where = f"{CONSENTS_FOLDER}/{model}/{file_name(number)}"
            yield Problem("missing_approval", None, f"{where}, which was written, is not in the store")


def consent_files(store: Path, model: str) -> dict[str, bytes]:
    """Every file of a model's approvals and waivers by its name, in their order; nothing is verified."""
    folder = store / CONSENTS_FOLDER / model
    paths = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    return {path.name: path.read_bytes() for path in paths}


def open_consent(content: bytes, model: str, name: str, keys: PublicKeys, where: str) -> Consent:
    """Verify one act.

    Raises
    ------
    ContractError
        If it cannot be read, its signature is invalid, or it is another model's or another number's.
    """
    consent = open_envelope(content, Consent, keys, where)
    if (consent.model, file_name(consent.number)) != (model, name):
        raise ContractError(
            f"Expected the act {name} of {model}, got {file_name(consent.number)} of {consent.model} - at {where}"
        )
    return consent


def _recorded(records: Sequence[Record], model: str, *, is_written: bool) -> Mapping[int, frozenset[str]]:
    """Digests of files by number: several only of acts whose command was killed before it wrote the file."""
    found: dict[int, frozenset[str]] = {}
    for record in records:
        if record.kind in CONSENT_KINDS and record.model == model and record.facts["is_written"] is is_written:
            number = int(record.facts["number"])
            found[number] = found.get(number, frozenset()) | {record.subjects["document"]}
    return found
