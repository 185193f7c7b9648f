"""The lineage of one digest: the part of the graph above and below it, and the decisions that its bundles served."""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.local.audit.lineage_graph import Graph, Node, digests_of, lineage_graph
from lifecycle.releases.lookup import SHORTEST_PREFIX
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import PUBLIC_KEY_FILE
from serving.artefacts.signatures import read_public_keys
from serving.contract.documents import ContractError, DecisionRecord, SlotName
from serving.log.segments import read_records

_SHOWN = 5
_SHOWN_DIGITS = 12


class Served(msgspec.Struct):
    """Decisions of a bundle in a slot of a release: number, and the times of the first and the last."""

    release_number: int
    bundle_digest: str
    slot: SlotName
    decisions: int
    first: dt.datetime
    last: dt.datetime


class Part(msgspec.Struct, frozen=True):
    """An artefact in a tree, with those above or below it; `label` is a release's slot."""

    kind: str
    digest: str
    label: str
    facts: dict[str, Any]
    known_from: tuple[str, ...]
    notes: tuple[str, ...]
    parts: tuple["Part", ...]


class Lineage(msgspec.Struct, frozen=True):
    """A digest, what it was made from, and what was made from it.

    `served` is ``None`` if the decision log was not read; `notes` are documents that could not be read.
    """

    kind: str
    digest: str
    facts: dict[str, Any]
    known_from: tuple[str, ...]
    notes: tuple[str, ...]
    made_from: tuple[Part, ...]
    made: tuple[Part, ...]
    served: tuple[Served, ...] | None
    unread: tuple[str, ...]


def lineage_of(settings: Settings, prefix: str, *, has_decisions: bool = True) -> Lineage:
    """The lineage of the one artefact whose digest begins with `prefix`.

    Parameters
    ----------
    has_decisions
        Whether to read the decision log, as a stream, for the first and the last decision of each bundle and release.

    Raises
    ------
    LifecycleError
        If no artefact or several begin with it, or the public key or the decision log cannot be read.
    """
    try:
        keys = read_public_keys(settings.keys_dir / PUBLIC_KEY_FILE)
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    graph = lineage_graph(settings, keys)
    node = find(graph, prefix, settings.root)
    above = tuple(_parts(graph, node, is_above=True))
    below = tuple(_parts(graph, node, is_above=False))
    served = _served(settings.decision_log_dir, graph, node) if has_decisions else None
    return Lineage(
        kind=node.kind,
        digest=node.digest,
        facts=node.facts,
        known_from=tuple(node.known_from),
        notes=tuple(node.notes),
        made_from=above,
        made=below,
        served=served,
        unread=tuple(graph.notes),
    )


def find(graph: Graph, prefix: str, home: Path) -> Node:
    """The one node whose digest begins with `prefix`; raises `LifecycleError` for none and for several."""
    wanted = prefix.lower()
    if len(wanted) < SHORTEST_PREFIX or len(wanted) > 64 or set(wanted) - set("0123456789abcdef"):
        raise LifecycleError(
            f"Expected a digest, or at least its first {SHORTEST_PREFIX} hexadecimal digits, got {prefix!r}"
        )
    found = [node for node in graph.nodes.values() if node.kind != "mart" and node.digest.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise LifecycleError(
            f"Expected the digest of a bundle, candidate, training set, release's file, specification, model file or "
            f"of verdicts, found none that begins with {wanted}; `lifecycle releases MODEL` and `lifecycle ledger show "
            f"MODEL` show digests - in {home}"
        )
    named = ", ".join(f"{node.kind} {node.digest[:_SHOWN_DIGITS]}" for node in found[:_SHOWN])
    raise LifecycleError(
        f"Expected the beginning of one digest, {wanted} begins {len(found)}: {named}"
        f"{', ...' if len(found) > _SHOWN else ''}; add digits"
    )


def _parts(graph: Graph, node: Node, *, is_above: bool) -> Iterator[Part]:
    """The nodes next to one on one side, each with those behind it; edges lead from origin to product, in no circle."""
    for label, other in graph.parents(node) if is_above else graph.children(node):
        yield Part(
            kind=other.kind,
            digest=other.digest,
            label=label,
            facts=other.facts,
            known_from=tuple(other.known_from),
            notes=tuple(other.notes),
            parts=tuple(_parts(graph, other, is_above=is_above)),
        )


def _below(graph: Graph, node: Node) -> Iterator[Node]:
    yield node
    for _, child in graph.children(node):
        yield from _below(graph, child)


def _served(log: Path, graph: Graph, node: Node) -> tuple[Served, ...]:
    """Decisions of the bundles at or below a node; those of one release, if it is a release."""
    if node.kind == "release":
        bundles = digests_of((parent for _, parent in graph.parents(node)), "bundle")
        of_release = (node.facts.get("model"), node.facts.get("number"))
    else:
        bundles, of_release = digests_of(_below(graph, node), "bundle"), None
    if not bundles or not log.is_dir():
        return ()
    found: dict[tuple[int, str, SlotName], Served] = {}
    try:
        for logged in read_records(log):
            record = logged.record
            if not isinstance(record, DecisionRecord) or record.error is not None or record.bundle_digest is None:
                continue
            if record.bundle_digest not in bundles:
                continue
            if of_release is None or (record.model, record.release_number) == of_release:
                _count(found, record, record.bundle_digest)
    except ContractError as error:
        raise LifecycleError(f"{error}; --no-decisions leaves out the decision log") from error
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[2], key[1])))


def _count(found: dict[tuple[int, str, SlotName], Served], record: DecisionRecord, bundle: str) -> None:
    number = record.release_number or 0
    key, moment = (number, bundle, record.slot), record.decided_at
    served = found.setdefault(key, Served(number, bundle, record.slot, 0, moment, moment))
    served.decisions += 1
    served.first = min(served.first, moment)
    served.last = max(served.last, moment)


def plain(lineage: Lineage) -> Mapping[str, Any]:
    """Plain values, for JSON."""
    document: dict[str, Any] = msgspec.to_builtins(lineage)
    return document
