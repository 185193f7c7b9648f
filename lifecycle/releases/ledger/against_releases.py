"""Compares a ledger with the releases of its store: each names the ledger's head, and a record announced it.

The approvals and waivers of the store are compared, too (`against_consents`), and the freezes and resumes
(`against_switches`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lifecycle.releases.ledger.against_consents import consent_problems, models_with_consents
from lifecycle.releases.ledger.against_switches import order_notices, order_problems
from lifecycle.releases.ledger.events import release_facts, release_subjects
from lifecycle.releases.ledger.notes import Head
from lifecycle.releases.ledger.records import Record
from lifecycle.releases.ledger.releases_seen import recorded_digests
from lifecycle.releases.ledger.verify import Problem, Verification, head_problem
from serving.artefacts.releases import open_release, read_releases, release_numbers
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, Release, digest

RELEASE_KINDS = ("release", "rollback")


def with_releases(verification: Verification, store: Path, keys: PublicKeys) -> Verification:
    """Add what the releases show to a verification; raises `OSError` and `ContractError` if they cannot be listed."""
    folder = store / "releases"
    models = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    models |= {model for record in verification.records for model in recorded_digests(record)}
    problems = [problem for model in sorted(models) for problem in _of_model(verification, store, model, keys)]
    if not verification.problems:  # the ledger's own problem is in front of them
        for model in models_with_consents(verification.records, store):
            problems += consent_problems(verification.records, store, model, keys)
        if verification.head is not None:
            problems += order_problems(verification.records, store, keys)
    notices = () if problems else _notices(verification, store, keys)
    return replace(
        verification,
        problems=(*verification.problems, *problems),
        notices=(*verification.notices, *notices),
    )


def _notices(verification: Verification, store: Path, keys: PublicKeys) -> tuple[str, ...]:
    records = verification.records
    orders = order_notices(records, store, keys) if verification.head is not None else ()
    return (*_not_carried_out(records, store), *_unannounced(records), *orders)


def _of_model(verification: Verification, store: Path, model: str, keys: PublicKeys) -> Iterator[Problem]:
    recorded = _recorded(verification.records, model)
    files = read_releases(store, model)
    predecessor = None
    for number, content in sorted(files.items()):
        where, name = f"release {number} of {model}", digest(content)
        try:
            release = open_release(content, model, keys, where)
        except ContractError as error:
            yield Problem("other_release", None, str(error))
            continue
        if (release.number, release.predecessor) != (number, predecessor):
            yield Problem("other_release", None, f"{where} does not follow the release before it")
        predecessor = name
        if recorded.get(number, name) != name:
            yield Problem("other_release", None, f"{where} is not the file that the ledger recorded")
        elif release.ledger_head is not None:
            yield from _named_head(verification, release, where)
        elif number not in recorded and verification.head is not None:
            yield Problem("unrecorded_release", None, f"{where} names no head of the ledger, and no record names it")
    for number in sorted(recorded.keys() - files.keys()):
        yield Problem("missing_release", None, f"release {number} of {model}, which was written, is not in the store")


def _named_head(verification: Verification, release: Release, where: str) -> Iterator[Problem]:
    try:
        head = Head.parse(release.ledger_head or "")
    except ValueError:
        yield Problem("other_release", None, f"{where} names a head of another form")
        return
    if verification.problems and head.size > len(verification.roots):
        return  # the ledger's own problem is in front of it
    problem = head_problem(head, verification.roots, where)
    if problem is not None:
        yield problem
        return
    announced = [record for record in verification.records[: head.size] if _announces(record, release)]
    if not announced:
        yield Problem("other_release", None, f"{where} is not as one of the records up to {head.size} announced it")


def _announces(record: Record, release: Release) -> bool:
    return (
        record.kind in RELEASE_KINDS
        and record.model == release.model
        and record.facts == release_facts(release)
        and record.subjects == release_subjects(release)
        and record.actor.name == release.released_by
    )


def _recorded(records: Sequence[Record], model: str) -> Mapping[int, str]:
    """Digests of the model's release files that the ledger has, by number."""
    found: dict[int, str] = {}
    for record in records:
        found |= recorded_digests(record).get(model, {})
    return found


def _not_carried_out(records: Sequence[Record], store: Path) -> Iterator[str]:
    """Announced releases that were never written: their command was killed, or another one won."""
    announced = [record for record in records if record.kind in RELEASE_KINDS]
    written = {model: set(release_numbers(store, model)) for model in {record.model or "" for record in announced}}
    for record in announced:
        number = int(record.facts["number"])
        if number not in written[record.model or ""]:
            yield (
                f"record {record.sequence} announces release {number} of {record.model}, which was not written: "
                "the command was killed or failed; running it again writes the release"
            )


def _unannounced(records: Sequence[Record]) -> Iterator[str]:
    """Releases that were written while the ledger could not be used, or by another version of the platform."""
    announced = {(record.model, record.facts["number"]) for record in records if record.kind in RELEASE_KINDS}
    for record in records:
        number = record.facts.get("number")
        if record.kind == "released" and (record.model, number) not in announced:
            yield f"release {number} of {record.model} was written without a record that announced it"
