"""Whatever an earlier version wrote that stays as it is, each with the reason, after reading it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from lifecycle.artefacts.candidates import EVALUATION_FILE, REFERENCE_FILE, Candidate, CandidateStore
from lifecycle.artefacts.earlier_names import has_earlier_names
from lifecycle.artefacts.evidence import GATES as GATES_FOLDER
from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.gates.candidate_gates import GATES
from lifecycle.local.installation import missing_dagster_settings
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys
from lifecycle.spec.model_files import ATTRIBUTES, model_files
from lifecycle.spec.older_keys import older_keys_in


@dataclass(frozen=True)
class Kept:
    """Something of an earlier version, and why no step changes it."""

    what: str
    found: str
    reason: str


def read_kept(settings: Settings) -> list[Kept]:
    """Documents, candidates, releases, model files and settings of earlier versions; writes nothing.

    Raises
    ------
    LifecycleError
        If this version cannot read one of the home's documents.
    """
    return [
        *_documents(settings),
        *_judged_before(settings),
        *_champions(settings),
        *_model_files(settings),
        *_dagster_settings(settings),
    ]


def _documents(settings: Settings) -> Iterator[Kept]:
    """Evidence and candidates with earlier names; each document is read whole, whatever its names."""
    read, earlier = 0, 0
    for model in _folders(settings.evidence_dir):
        _read_evidence(EvidenceStore(settings.evidence_dir, model), settings.evidence_dir / model / GATES_FOLDER)
    for model in _folders(settings.candidates_dir):
        for digest in CandidateStore(settings.candidates_dir, model).dates():
            _read_candidate(CandidateStore(settings.candidates_dir, model).by_digest(digest))
    names = (EVALUATION_FILE, REFERENCE_FILE)
    paths = [*settings.evidence_dir.rglob("*.json")]
    paths += [path for name in names for path in settings.candidates_dir.glob(f"*/*/{name}")]
    for path in paths:
        read += 1
        earlier += has_earlier_names(path.read_bytes())
    if earlier:
        reason = "read as they are; digests name many of them, so that none is rewritten"
        yield Kept("evidence and candidates", f"{earlier} of {read} documents with earlier names", reason)


def _read_evidence(store: EvidenceStore, gates: Path) -> None:
    for path in gates.glob("*.json"):
        store.gates(path.stem)
    for read in (store.drift, store.live_performance, store.decision_load, store.requests, store.matching):
        read()


def _read_candidate(candidate: Candidate) -> None:
    _ = candidate.deciding, candidate.lineage, candidate.evaluation, candidate.reference


def _judged_before(settings: Settings) -> Iterator[Kept]:
    """Candidates without the verdicts of gates that did not exist when they were judged."""
    for model in _folders(settings.evidence_dir):
        store = EvidenceStore(settings.evidence_dir, model)
        found = [store.gates(path.stem) for path in (settings.evidence_dir / model / GATES_FOLDER).glob("*.json")]
        lacking = {judged.as_of: set(GATES) - {verdict.gate for verdict in judged.verdicts} for judged in found}
        gates = [gate for gate in GATES if any(gate in missing for missing in lacking.values())]
        dates = sorted(as_of for as_of, missing in lacking.items() if missing)
        if dates:
            yield Kept(
                f"candidates of {model}",
                f"{len(dates)} dates up to {dates[-1]} without verdicts of {', '.join(gates)}",
                "verdicts are records; none of these is promoted automatically until its date is materialised again",
            )


def _champions(settings: Settings) -> Iterator[Kept]:
    folder = settings.release_store / "releases"
    if not folder.is_dir():
        return
    releases = ReleaseStore(settings.release_store, ensure_keys(settings))
    for model in _folders(folder):
        release = releases.latest(model)
        if release is not None:
            yield Kept(
                f"releases of {model}",
                f"release {release.number}, champion as of {release.champion.as_of}",
                "signed; the champion answers as before, with the request fields of its own bundle",
            )


def _model_files(settings: Settings) -> Iterator[Kept]:
    for path in model_files(settings):
        try:
            document = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # `lifecycle check` names it
        attributes = document.get(ATTRIBUTES) if isinstance(document, dict) else None
        keys = older_keys_in(attributes) if isinstance(attributes, dict) else {}
        if keys:
            shown = ", ".join(f"{older} (now {newer})" for older, newer in keys.items())
            yield Kept(str(path), f"older keys: {shown}", "a person's file; the older keys stay valid")


def _dagster_settings(settings: Settings) -> Iterator[Kept]:
    path = settings.dagster_home / "dagster.yaml"
    if path.exists() and (notices := missing_dagster_settings(path)):
        yield Kept("dagster.yaml", "; ".join(notices), "may be a person's choice; it is never written again")


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
