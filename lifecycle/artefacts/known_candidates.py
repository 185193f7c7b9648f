"""Candidates of every model by their digest: those of the installation, and those of backtests."""

from dataclasses import dataclass
from pathlib import Path

from lifecycle.artefacts.candidates import Candidate, CandidateStore
from lifecycle.artefacts.evidence import EvidenceStore, GateEvidence
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings


@dataclass(frozen=True)
class KnownCandidate:
    """Where a candidate is: the model whose training set it learned from, its date, and the store that has it."""

    model: str
    as_of: str
    store: CandidateStore
    evidence: EvidenceStore

    def read(self, digest: str) -> tuple[Candidate, GateEvidence | None]:
        """The candidate with this digest, and the verdicts on it; ``None`` if its gates never ran."""
        candidate = self.store.by_digest(digest)
        for is_backtest in (False, True):
            try:
                return candidate, self.evidence.gates(digest, is_backtest=is_backtest)
            except LifecycleError:
                continue
        return candidate, None


def known_candidates(settings: Settings) -> dict[str, KnownCandidate]:
    """Every candidate by its digest; one of the installation before the same one of a backtest."""
    backtests = settings.backtests_dir
    places = [(backtests / "candidates", backtests / "evidence"), (settings.candidates_dir, settings.evidence_dir)]
    known: dict[str, KnownCandidate] = {}
    for candidates, evidence in places:
        for model in _folders(candidates):
            store = CandidateStore(candidates, model)
            known |= {
                digest: KnownCandidate(model, as_of, store, EvidenceStore(evidence, model))
                for digest, as_of in store.dates().items()
            }
    return known


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
