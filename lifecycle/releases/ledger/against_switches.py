"""Compares a ledger with the orders of its store that stop and allow promotion: freezes, their ends, and resumes.

``freezes/000001.json`` and so on, and ``resumes/<model>/000003.json`` for the hold of release 3. A record announces
each order, and another one with the file's digest follows once it is written. Ledgers of earlier versions have the
announcement only: their files are compared with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import LedgerError, Record
from lifecycle.releases.ledger.verify import Problem
from serving.artefacts.releases import file_name, open_envelope
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, Freeze, Resume, digest

FREEZE_KINDS = ("freeze", "unfreeze")
_FOLDERS = ("freezes", "resumes")


@dataclass(frozen=True, slots=True)
class RecordedOrders:
    """What a ledger says of orders, by the path of the order's file below the store."""

    announced: dict[str, list[Record]] = field(default_factory=dict)
    written: dict[str, set[str]] = field(default_factory=dict)
    """Digests of the files that were written; those of before the ledger are in its genesis."""


def recorded_orders(records: Sequence[Record]) -> RecordedOrders:
    """The orders that records name."""
    found = RecordedOrders()
    for record in records:
        if record.kind == "genesis":
            for path, name in record.facts.get("switches", {}).items():
                found.written.setdefault(path, set()).add(name)
        elif record.kind in (*FREEZE_KINDS, "resume"):
            if "document" in record.subjects:
                found.written.setdefault(_path_of(record), set()).add(record.subjects["document"])
            else:
                found.announced.setdefault(_path_of(record), []).append(record)
    return found


def order_problems(
    records: Sequence[Record], store: Path, keys: PublicKeys, folders: Sequence[str] = _FOLDERS
) -> Iterator[Problem]:
    """Files of `folders` that were removed, changed or added, each by its path; raises `OSError`."""
    orders, files = recorded_orders(records), _order_files(store, folders)
    for path, content in files.items():
        try:
            order = _open(path, content, keys)
        except ContractError as error:
            yield Problem("other_order", None, str(error))
            continue
        digests, announced = orders.written.get(path), orders.announced.get(path)
        if digests is not None and digest(content) not in digests:
            yield Problem("other_order", None, f"{path} is not the file that the ledger recorded")
        elif digests is None and not _is_announced(order, announced or ()):
            yield Problem("other_order", None, f"{path} is not as a record announced it")
    # A turn of the switch follows the one before it, so that an earlier one was written whatever its record says.
    freezes = [int(Path(path).stem) for path in files if path.startswith("freezes/") and Path(path).stem.isdigit()]
    before = {f"freezes/{file_name(number)}" for number in range(1, max(freezes, default=0))}
    written = {path for path in orders.written if path.partition("/")[0] in folders}
    for path in sorted((written | before) - files.keys()):
        yield Problem("missing_order", None, f"{path}, which was written, is not in the store")


def expect_turns(store: Path, keys: PublicKeys) -> None:
    """Raise `LedgerError` unless the turns of the freeze switch are those that the ledger has.

    Without it, a removed freeze, or the end of one that no record announced, would let promotion go on. A removed
    resume needs no such check: its hold is in force again. Without a ledger that can be read nothing is compared; each
    act that such a check guards needs the ledger itself.
    """
    message = _turn_problem(store, keys)
    # A turn that was written between the readings of ledger and files is in both afterwards.
    if message is not None and (message := _turn_problem(store, keys)) is not None:
        raise LedgerError(
            f"Expected the turns of the freeze switch that the ledger recorded, but {message}; run `lifecycle "
            "ledger verify`, and restore the folder `freezes` or `ledger` of the release store from a backup"
        )


def _turn_problem(store: Path, keys: PublicKeys) -> str | None:
    try:
        records = read_records(store)
    except LedgerError:
        return None
    problem = next(order_problems(records, store, keys, ("freezes",)), None)
    return None if problem is None else problem.message


def last_recorded_turn(store: Path) -> int:
    """Number of the last turn of the freeze switch that the ledger recorded as written, 0 without one.

    Raises
    ------
    LedgerError
        If there is no ledger, or it cannot be read.
    """
    written = recorded_orders(read_records(store)).written
    return max((int(Path(path).stem) for path in written if path.startswith("freezes/")), default=0)


def order_notices(records: Sequence[Record], store: Path, keys: PublicKeys) -> Iterator[str]:
    """Orders that were announced and not written, and freezes that no record names; after `order_problems` is empty."""
    orders, files = recorded_orders(records), _order_files(store, _FOLDERS)
    for path, announced in orders.announced.items():
        if path not in files:
            yield (
                f"record {announced[-1].sequence} announces {path}, which was not written: the command was killed or "
                "failed; running it again writes the order"
            )
    for path, content in files.items():
        is_recorded = path in orders.written or path in orders.announced
        if not is_recorded and _is_freeze(_open(path, content, keys)):
            yield f"{path}, a freeze, was written while the ledger could not be used; the next turn records it"


def _order_files(store: Path, folders: Sequence[str]) -> dict[str, bytes]:
    """Every file of an order by its path below the store; nothing is verified."""
    paths = sorted(path for folder in folders for path in (store / folder).rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in paths if not path.name.startswith(".")}


def _open(path: str, content: bytes, keys: PublicKeys) -> Freeze | Resume:
    """Verify one order; raises `ContractError` if it cannot be read, is not signed, or is one of another path."""
    is_freeze = path.startswith("freezes/")
    order = open_envelope(content, Freeze, keys, path) if is_freeze else open_envelope(content, Resume, keys, path)
    own = (
        f"freezes/{file_name(order.number)}"
        if isinstance(order, Freeze)
        else f"resumes/{order.model}/{file_name(order.release_number)}"
    )
    if own != path:
        raise ContractError(f"Expected the order {path}, got {own} - at {path}")
    return order


def _path_of(record: Record) -> str:
    if record.kind in FREEZE_KINDS:
        return f"freezes/{file_name(int(record.facts['number']))}"
    return f"resumes/{record.model}/{file_name(int(record.facts['release_number']))}"


def _is_announced(order: Freeze | Resume, announced: Sequence[Record]) -> bool:
    """Whether a record announced it; a freeze needs none, because it goes on without a usable ledger."""
    return any(_announces(record, order) for record in announced) or (not announced and _is_freeze(order))


def _announces(record: Record, order: Freeze | Resume) -> bool:
    if isinstance(order, Freeze):
        return (record.kind, record.actor.name) == ("freeze" if order.is_frozen else "unfreeze", order.changed_by)
    return record.actor.name == order.resumed_by


def _is_freeze(order: Freeze | Resume) -> bool:
    return isinstance(order, Freeze) and order.is_frozen
