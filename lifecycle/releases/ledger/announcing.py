"""Records an act before it is carried out, and the file of a release or an order after it.

The ledger is locked from the announcement until the act is done, so that two writers cannot announce the same number.
A command that is killed in between announces the same event when it is run again, which is recorded once.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from lifecycle.releases.ledger.against_switches import recorded_orders
from lifecycle.releases.ledger.events import order_written, release_announced, release_written
from lifecycle.releases.ledger.log import Ledger, Writer
from lifecycle.releases.ledger.notes import Head
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import Event, LedgerError
from serving.contract.documents import Release, digest

_log = logging.getLogger(__name__)


@contextmanager
def announced(ledger: Ledger, event: Event, path: Path, *, is_required: bool) -> Iterator[None]:
    """Record an order, unless its file exists already, and lock the ledger for the block; then record its file.

    Parameters
    ----------
    is_required
        Whether the act must not happen without a record. An act that reduces risk happens all the same, with an error
        in the log.

    Raises
    ------
    LedgerError
        If the event is required and cannot be recorded.
    """
    with ExitStack() as lock:
        writer = None
        try:
            entered = lock.enter_context(ledger.locked())
            if not path.exists():
                entered.append(event)
            writer = entered
        except LedgerError as error:
            if is_required:
                raise
            _tell_unrecorded(event.kind, error)
        yield
        if writer is not None:
            _record_order(writer, event, path)


def settle_order(ledger: Ledger, store: Path, event: Event, path: Path) -> None:
    """Record the file of an order that no record names: its command was killed, or made it without a ledger.

    Parameters
    ----------
    event
        What announced the order, or would have.
    """
    try:
        with ledger.locked() as writer:
            if path.relative_to(store).as_posix() not in recorded_orders(read_records(store)).written:
                _record_order(writer, event, path)
    except LedgerError as error:
        _tell_unrecorded(f"the file of a {event.kind}", error)


@contextmanager
def announced_release(
    ledger: Ledger, release: Release, chain: Sequence[tuple[Release, str]], path: Path, *, is_required: bool
) -> Iterator[Release]:
    """As `announced`, for a release; yields it with the head that covers its record, to be written to `path`.

    Parameters
    ----------
    chain
        The releases before it with the digests of their files.
    """
    with ExitStack() as lock:
        writer = None
        try:
            entered = lock.enter_context(ledger.locked())
            record_written(entered, release.model, chain)
            if not path.exists():
                release = msgspec.structs.replace(release, ledger_head=str(entered.append(release_announced(release))))
            writer = entered
        except LedgerError as error:
            if is_required:
                raise
            _tell_unrecorded(f"release {release.number} of {release.model}", error)
        yield release
        if writer is not None:
            _record_file(writer, release, path)


def record_written(writer: Writer, model: str, chain: Sequence[tuple[Release, str]]) -> None:
    """Record each release of a model whose file no record names: its command was killed, or made it without a ledger.

    Raises
    ------
    LedgerError
        If a release names a head that the ledger does not have; or as `Ledger.append`.
    """
    for release, file_digest in chain:
        _expect_head(writer, release)
        if not writer.releases.has(model, release.number):
            writer.append(release_written(model, release.number, file_digest))


def _expect_head(writer: Writer, release: Release) -> None:
    if release.ledger_head is None:
        return
    try:
        is_known = writer.has_head(Head.parse(release.ledger_head))
    except ValueError:
        is_known = False
    if not is_known:
        raise LedgerError(
            f"Expected the state of the ledger that release {release.number} of {release.model} names, found another "
            "one; `lifecycle ledger verify` names the damage; restore the folder `ledger` of the release store from a "
            "backup"
        )


def _record_file(writer: Writer, release: Release, path: Path) -> None:
    """The release is in force whatever happens here; the next change of the model records its file."""
    try:
        writer.append(release_written(release.model, release.number, digest(path.read_bytes())))
    except LedgerError as error:
        _tell_unrecorded(f"the file of release {release.number} of {release.model}", error)


def _record_order(writer: Writer, event: Event, path: Path) -> None:
    """The order is in force whatever happens here; the next one, or the same command again, records its file."""
    try:
        writer.append(order_written(event, digest(path.read_bytes())))
    except LedgerError as error:
        _tell_unrecorded(f"the file of a {event.kind}", error)


def _tell_unrecorded(what: str, error: LedgerError) -> None:
    _log.error("Not recorded in the ledger: %s. %s", what, error)
