"""What the ledger says about a decision's model and release, and whether it verifies up to there."""

from collections.abc import Iterator
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.local.audit.checks import Check, failed, passed, unknown
from lifecycle.local.audit.documents import LedgerEntry, LedgerState, Model, ReleaseFile
from lifecycle.local.audit.model_origin import entry_of
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.notes import Head
from lifecycle.releases.ledger.records import Record
from lifecycle.releases.ledger.verify import Problem, Verification, head_problem, verify_ledger
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError

LEDGER = "ledger"
LEDGER_UP_TO = "ledger up to the release"


def verification_of(store: Path, keys: PublicKeys) -> Verification:
    """The verified ledger of a release store, compared with its releases; raises `LifecycleError`."""
    try:
        return with_releases(verify_ledger(store, keys), store, keys)
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise LifecycleError(f"Expected a readable ledger, got {cause} - at {error.filename}") from error


def ledger_state(
    verification: Verification, model_name: str, model: Model | None, served: ReleaseFile | None
) -> LedgerState:
    """The heads, the problems, and the records about the model and its release."""
    head = verification.head
    return LedgerState(
        origin=verification.origin,
        records=head.size if head else None,
        root=head.root.hex() if head else None,
        release_head=None if served is None else served.release.ledger_head,
        problems=tuple(_text(problem) for problem in verification.problems),
        entries=tuple(_entries(verification, model_name, model, served)),
    )


def ledger_check(verification: Verification) -> Check:
    """Whether the whole ledger verifies, and agrees with every release."""
    if verification.problems:
        return failed(LEDGER, "; ".join(map(_text, verification.problems)))
    if verification.head is None:
        return unknown(LEDGER, "there is no ledger")
    return passed(LEDGER, f"{verification.head.size} records verify, root {verification.head.root.hex()}")


def head_check(verification: Verification, served: ReleaseFile | None) -> Check:
    """Whether the ledger verifies up to the head that the release names."""
    if served is None:
        return unknown(LEDGER_UP_TO, "the release is not known")
    if served.release.ledger_head is None:
        return unknown(LEDGER_UP_TO, "the release names no head: it was made without a ledger")
    try:
        head = Head.parse(served.release.ledger_head)
    except ValueError:
        return failed(LEDGER_UP_TO, "the release names a head of another form")
    problem = head_problem(head, verification.roots, f"release {served.release.number}")
    if problem is not None:
        first = verification.problems[0] if verification.problems else problem
        return failed(LEDGER_UP_TO, _text(first))
    return passed(LEDGER_UP_TO, f"the first {head.size} records have the root that the release was signed with")


def _entries(
    verification: Verification, model_name: str, model: Model | None, served: ReleaseFile | None
) -> Iterator[LedgerEntry]:
    digests = set() if model is None else {model.candidate_digest, model.bundle_digest}
    for record in verification.records:
        if record.model == model_name and (_is_about(record, digests) or _is_release(record, served)):
            yield entry_of(record)


def _is_about(record: Record, digests: set[str]) -> bool:
    return record.kind in {"training", "gates", "registration", "approval", "waiver"} and bool(
        digests & set(record.subjects.values())
    )


def _is_release(record: Record, served: ReleaseFile | None) -> bool:
    return (
        served is not None
        and record.kind in {"release", "rollback", "released"}
        and record.facts.get("number") == served.release.number
    )


def _text(problem: Problem) -> str:
    return f"{problem.damage}: {problem.message}"
