"""What was found out about candidates and about live traffic: small JSON files that sensors and people read."""

from pathlib import Path
from typing import Any

import msgspec

from lifecycle.errors import LifecycleError
from serving.contract.documents import Struct, Verdict
from serving.storage.durable import write_file


class GateEvidence(Struct, frozen=True):
    """Every gate's verdict on exactly one candidate."""

    model: str
    candidate_digest: str
    training_set_digest: str
    as_of: str
    verdicts: tuple[Verdict, ...]

    @property
    def is_passed(self) -> bool:
        """Whether there are verdicts and every one of them passes."""
        return bool(self.verdicts) and all(verdict.is_passed for verdict in self.verdicts)

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        """The verdicts that did not pass."""
        return tuple(verdict for verdict in self.verdicts if not verdict.is_passed)


class EvidenceStore:
    """The evidence of one model."""

    def __init__(self, root: Path, model: str) -> None:
        self._model = model
        self._root = root / model

    def write_gates(self, evidence: GateEvidence) -> Path:
        """Keep the verdicts on a candidate; a later judgement of the same candidate replaces them."""
        path = self._gates(evidence.candidate_digest)
        write_file(path, msgspec.json.format(msgspec.json.encode(evidence), indent=2))
        return path

    def gates(self, candidate_digest: str) -> GateEvidence:
        """The verdicts on exactly this candidate.

        Raises
        ------
        LifecycleError
            If it was never judged.
        """
        path = self._gates(candidate_digest)
        if not path.exists():
            raise LifecycleError(
                f"Expected the gates' verdicts on candidate {candidate_digest}, found none; run its gates first "
                f"- at {path}"
            )
        return msgspec.json.decode(path.read_bytes(), type=GateEvidence)

    def write_monitoring(self, kind: str, as_of: str, document: dict[str, Any]) -> Path:
        """Keep what the monitoring of one `as_of` found; the same day again replaces it."""
        path = self._root / kind / f"{as_of}.json"
        write_file(path, msgspec.json.format(msgspec.json.encode(document), indent=2))
        return path

    def monitoring(self, kind: str) -> dict[str, dict[str, Any]]:
        """What the monitoring found, by `as_of`, oldest first."""
        paths = sorted((self._root / kind).glob("*.json"))
        return {path.stem: msgspec.json.decode(path.read_bytes(), type=dict[str, Any]) for path in paths}

    def _gates(self, candidate_digest: str) -> Path:
        return self._root / "gates" / f"{candidate_digest}.json"
