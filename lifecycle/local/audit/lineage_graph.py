"""What each digest was made from and what was made from it, as the stored documents and the ledger say.

An edge is drawn only where a document names both ends:

=================================  ===================================================================================
specification to candidate         the model's file that the candidate keeps; else the configuration record before its
                                   training record
mart to training set               the specification of a candidate that was trained on it
training set to candidate          the candidate's lineage, or the training record
candidate to verdicts              the evidence, or the gates record
candidate to bundle                the manifest, or the registration record
bundle to release                  the slots of the release
=================================  ===================================================================================

Nothing records which loads and which dbt build the rows of a mart came from; the digest of the training set names the
rows themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from lifecycle.artefacts.bundles import bundle_folder
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.erased_examples import tombstones
from lifecycle.artefacts.evidence import GATES, GateEvidence, read_evidence
from lifecycle.artefacts.known_candidates import known_candidates
from lifecycle.artefacts.training_sets import TrainingSetStore
from lifecycle.assets.recording import specification_digest
from lifecycle.errors import LifecycleError
from lifecycle.gates.outcomes import overall_text
from lifecycle.local.audit.in_force import History
from lifecycle.releases.ledger.events import recorded_verdicts
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import LedgerError, Record
from lifecycle.settings.platform import Settings
from serving.artefacts.release_rules import slots_of
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    ContractError,
    Manifest,
    Signed,
    decode,
    digest,
)

Kind = Literal["mart", "specification", "model file", "training set", "candidate", "verdicts", "bundle", "release"]
UNRECORDED_ORIGIN = "no document records which loads and which dbt build its rows came from"
UNRECORDED_SPECIFICATION = "the candidate keeps no model file, and no configuration record is before its training"
UNRECORDED_TRAINING_SET = "neither its files nor the ledger tell the training set"


@dataclass
class Node:
    """An artefact: `facts` for people, `known_from` the documents that name it, `notes` what is not known or wrong."""

    kind: Kind
    digest: str
    facts: dict[str, Any] = field(default_factory=dict)
    known_from: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Graph:
    """Artefacts by kind and digest, and what was made from what."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[Kind, str], Node] = {}
        self._children: dict[tuple[Kind, str], dict[tuple[Kind, str], str]] = {}
        self._parents: dict[tuple[Kind, str], dict[tuple[Kind, str], str]] = {}
        self.notes: list[str] = []

    def node(self, kind: Kind, name: str, known_from: str, **facts: Any) -> Node:
        """The node of an artefact, made if it is new, with further facts and their source."""
        node = self.nodes.setdefault((kind, name), Node(kind, name))
        node.facts |= {key: value for key, value in facts.items() if value is not None}
        if known_from not in node.known_from:
            node.known_from.append(known_from)
        return node

    def edge(self, parent: Node, child: Node, label: str = "") -> None:
        """Record that `child` was made from `parent`."""
        above, below = (parent.kind, parent.digest), (child.kind, child.digest)
        self._children.setdefault(above, {})[below] = label
        self._parents.setdefault(below, {})[above] = label

    def parents(self, node: Node) -> list[tuple[str, Node]]:
        """What a node was made from, each with the edge's label."""
        found = self._parents.get((node.kind, node.digest), {})
        return [(label, self.nodes[key]) for key, label in found.items()]

    def children(self, node: Node) -> list[tuple[str, Node]]:
        """What was made from a node, each with the edge's label."""
        found = self._children.get((node.kind, node.digest), {})
        return [(label, self.nodes[key]) for key, label in found.items()]


def lineage_graph(settings: Settings, keys: PublicKeys) -> Graph:
    """The graph of all artefacts of an installation; reads documents and the ledger, no model and no rows."""
    graph = Graph()
    _add_training_sets(graph, settings)
    _add_candidates(graph, settings)
    _add_verdicts(graph, settings)
    _add_bundles(graph, settings, keys)
    _add_releases(graph, settings, keys)
    _add_records(graph, settings)
    _note_unknown(graph)
    return graph


def _folders(parent: Any) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _add_training_sets(graph: Graph, settings: Settings) -> None:
    for model in _folders(settings.training_sets_dir):
        for frozen in TrainingSetStore(settings.training_sets_dir, model).all():
            described = frozen.description
            erased = sum(tombstone.rows for tombstone in tombstones(frozen.folder).values())
            graph.node(
                "training set",
                described.digest,
                "its folder",
                model=model,
                as_of=described.as_of,
                first_day=described.first_day,
                end_day=described.end_day,
                rows=described.rows,
                rows_erased=erased or None,
            )


def _add_candidates(graph: Graph, settings: Settings) -> None:
    for name, known in known_candidates(settings).items():
        try:
            _add_candidate(graph, known.model, known.store.by_digest(name))
        except (LifecycleError, ContractError, OSError) as error:
            graph.node("candidate", name, "its pointer", model=known.model).notes.append(f"its files fail: {error}")


def _add_candidate(graph: Graph, model: str, candidate: Candidate) -> None:
    lineage = candidate.lineage
    node = graph.node(
        "candidate",
        candidate.digest,
        "its folder",
        model=model,
        as_of=lineage.as_of,
        code_commit=lineage.code_commit,
        seed=lineage.seed,
    )
    training_set = graph.node("training set", lineage.training_set_digest, "a candidate's lineage")
    graph.edge(training_set, node)
    spec = candidate.spec
    if spec is None:
        return
    graph.edge(
        graph.node("specification", specification_digest(spec), "a candidate's model file", model=spec.name), node
    )
    for relation in filter(None, (spec.mart, spec.label.relation)):
        mart = graph.node(
            "mart", f"marts.{relation}", "a candidate's model file", examples_arrive_in=spec.examples.arrives_in
        )
        graph.edge(mart, training_set)


def _add_verdicts(graph: Graph, settings: Settings) -> None:
    for model in _folders(settings.evidence_dir):
        for path in sorted((settings.evidence_dir / model / GATES).glob("*.json")):
            try:
                evidence = read_evidence(path, GateEvidence)
            except (LifecycleError, OSError) as error:
                graph.notes.append(f"verdicts that cannot be read: {error}")
                continue
            node = graph.node(
                "verdicts", digest(path.read_bytes()), "the evidence", model=model, outcome=evidence.outcome_text
            )
            graph.edge(graph.node("candidate", evidence.candidate_digest, "the evidence"), node)


def _add_bundles(graph: Graph, settings: Settings, keys: PublicKeys) -> None:
    for name in _folders(settings.release_store / "bundles"):
        folder = bundle_folder(settings.release_store, name)
        try:
            content = (folder / MANIFEST_FILE).read_bytes()
            signed = decode((folder / SIGNATURE_FILE).read_bytes(), Signed, f"bundle {name}/{SIGNATURE_FILE}")
            keys.verify(content, signed, f"bundle {name}")
            manifest = decode(content, Manifest, f"bundle {name}/{MANIFEST_FILE}")
            if digest(content) != name:
                raise ContractError(f"Expected a manifest with digest {name}, got {digest(content)}")
        except (OSError, ContractError) as error:
            graph.node("bundle", name, "its folder").notes.append(f"its manifest does not verify: {error}")
            continue
        lineage = manifest.lineage
        node = graph.node(
            "bundle",
            name,
            "its manifest",
            model=manifest.model,
            as_of=lineage.as_of,
            gates=overall_text(manifest.verdicts),
        )
        candidate = graph.node("candidate", manifest.candidate_digest, "a manifest", model=manifest.model)
        candidate.facts |= {"as_of": lineage.as_of, "seed": lineage.seed}
        graph.edge(candidate, node)
        graph.edge(graph.node("training set", lineage.training_set_digest, "a manifest"), candidate)


def _add_releases(graph: Graph, settings: Settings, keys: PublicKeys) -> None:
    store = settings.release_store
    for model in _folders(store / "releases"):
        history = History(store, model, keys)
        graph.notes += [f"release {number} of {model}: {fault}" for number, fault in sorted(history.faults.items())]
        for number, file in sorted(history.files.items()):
            release = file.release
            node = graph.node(
                "release",
                file.digest,
                "its file",
                model=model,
                number=number,
                released_at=release.released_at,
                released_by=release.released_by,
                reason=release.reason,
                restores=release.restores,
            )
            for slot, filled in slots_of(release):
                graph.edge(graph.node("bundle", filled.bundle_digest, "a release", model=model), node, slot)


def _add_records(graph: Graph, settings: Settings) -> None:
    """Add what only the ledger knows: artefacts whose files are gone, and specifications."""
    try:
        records = read_records(settings.release_store)
    except LedgerError as error:
        graph.notes.append(f"the ledger cannot be read: {error}")
        return
    configured: dict[str | None, Record] = {}
    for record in records:
        where = f"ledger record {record.sequence}"
        if record.kind == "configuration":
            configured[record.model] = record
            _add_configuration(graph, record, where)
        elif record.kind == "training":
            _add_training(graph, record, configured.get(record.model), where)
        elif record.kind == "gates":
            verdicts = recorded_verdicts(record)
            node = graph.node(
                "verdicts", record.subjects["evidence"], where, model=record.model, outcome=overall_text(verdicts)
            )
            graph.edge(graph.node("candidate", record.subjects["candidate"], where, model=record.model), node)
        elif record.kind == "registration":
            node = graph.node("bundle", record.subjects["bundle"], where, model=record.model)
            node.facts |= {"mlflow_version": record.facts["mlflow_version"]} if record.facts["mlflow_version"] else {}
            graph.edge(graph.node("candidate", record.subjects["candidate"], where, model=record.model), node)
        elif record.kind == "released":
            graph.node("release", record.subjects["release"], where, model=record.model, number=record.facts["number"])


def _add_configuration(graph: Graph, record: Record, where: str) -> None:
    node = graph.node("specification", record.subjects["specification"], where, model=record.model)
    if "model_file" in record.subjects:
        graph.edge(graph.node("model file", record.subjects["model_file"], where, model=record.model), node)


def _add_training(graph: Graph, record: Record, configured: Record | None, where: str) -> None:
    facts = {name: record.facts.get(name) for name in ("as_of", "code_commit", "seed")}
    node = graph.node("candidate", record.subjects["candidate"], where, model=record.model, **facts)
    node.facts["trained_by"] = f"{record.actor.kind} {record.actor.name}"
    graph.edge(graph.node("training set", record.subjects["training_set"], where, model=record.model), node)
    if configured is not None and not any(parent.kind == "specification" for _, parent in graph.parents(node)):
        specified = configured.subjects["specification"]
        graph.edge(graph.node("specification", specified, f"ledger record {configured.sequence}"), node)


def _note_unknown(graph: Graph) -> None:
    for node in graph.nodes.values():
        above = {parent.kind for _, parent in graph.parents(node)}
        if node.kind == "training set":
            node.notes.append(UNRECORDED_ORIGIN)
            if "its folder" not in node.known_from:
                node.notes.append("its folder is gone: its days and rows are not known")
        if node.kind == "candidate" and "specification" not in above:
            node.notes.append(UNRECORDED_SPECIFICATION)
        if node.kind == "candidate" and "training set" not in above:
            node.notes.append(UNRECORDED_TRAINING_SET)
        if node.kind == "candidate" and not {"its folder", "its pointer"} & {*node.known_from}:
            node.notes.append("its folder is gone")
        if node.kind == "bundle" and not {"its folder", "its manifest"} & {*node.known_from}:
            node.notes.append("its folder is gone")
        if node.kind == "release" and "its file" not in node.known_from:
            node.notes.append("its file is gone or does not verify")


def digests_of(nodes: Iterable[Node], kind: Kind) -> frozenset[str]:
    """Digests of the nodes of a kind."""
    return frozenset(node.digest for node in nodes if node.kind == kind)
