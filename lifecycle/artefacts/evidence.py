"""Evidence about candidates and live traffic: small JSON files that sensors and people read."""

import datetime as dt
from pathlib import Path
from typing import TypeVar

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.monitoring.decision_load import LoadVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.verdict import MonitoringVerdict
from serving.contract.documents import Struct, Verdict
from serving.storage.durable import write_file

_Document = TypeVar("_Document")
_GATES, _DRIFT, _LIVE_PERFORMANCE, _LOAD = "gates", "drift", "live_performance", "decision_load"


class GateEvidence(Struct, frozen=True):
    """Every gate's verdict on one candidate."""

    model: str
    candidate_digest: str
    training_set_digest: str
    as_of: str
    verdicts: tuple[Verdict, ...]

    @property
    def is_passed(self) -> bool:
        """Whether there are verdicts and all of them passed."""
        return bool(self.verdicts) and not self.refusals

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        """The verdicts that failed."""
        return tuple(verdict for verdict in self.verdicts if not verdict.is_passed)


class EvidenceStore:
    """The evidence of one model: gates by candidate, monitoring by `as_of`. A repeated write replaces the file."""

    def __init__(self, root: Path, model: str) -> None:
        self._root = root / model

    def write_gates(self, evidence: GateEvidence) -> None:
        """Write the verdicts on a candidate."""
        self._write(_GATES, evidence.candidate_digest, evidence)

    def gates(self, candidate_digest: str) -> GateEvidence:
        """The verdicts on this candidate.

        Raises
        ------
        LifecycleError
            If its gates never ran.
        """
        path = self._path(_GATES, candidate_digest)
        if not path.exists():
            raise LifecycleError(
                f"Expected the gates' verdicts on candidate {candidate_digest}, found none; run its gates first "
                f"- at {path}"
            )
        return _read(path, GateEvidence)

    def write_drift(self, verdict: MonitoringVerdict) -> None:
        """Write the verdict of its `as_of`."""
        self._write(_DRIFT, verdict.as_of, verdict)

    def drift(self) -> dict[dt.date, MonitoringVerdict]:
        """Monitoring verdicts by `as_of`, oldest first."""
        return self._by_date(_DRIFT, MonitoringVerdict)

    def write_live_performance(self, as_of: dt.date, verdict: PerformanceVerdict) -> None:
        """Write the live performance as of a date."""
        self._write(_LIVE_PERFORMANCE, as_of.isoformat(), verdict)

    def live_performance(self) -> dict[dt.date, PerformanceVerdict]:
        """Live performance by `as_of`, oldest first."""
        return self._by_date(_LIVE_PERFORMANCE, PerformanceVerdict)

    def write_decision_load(self, verdict: LoadVerdict) -> None:
        """Write the verdict of its `as_of`."""
        self._write(_LOAD, verdict.as_of, verdict)

    def decision_load(self) -> dict[dt.date, LoadVerdict]:
        """Verdicts on the cards stopped a day by `as_of`, oldest first."""
        return self._by_date(_LOAD, LoadVerdict)

    def _path(self, kind: str, name: str) -> Path:
        return self._root / kind / f"{name}.json"

    def _write(self, kind: str, name: str, document: object) -> None:
        write_file(self._path(kind, name), msgspec.json.format(msgspec.json.encode(document), indent=2))

    def _by_date(self, kind: str, document: type[_Document]) -> dict[dt.date, _Document]:
        paths = sorted((self._root / kind).glob("*.json"))
        return {dt.date.fromisoformat(path.stem): _read(path, document) for path in paths}


def _read(path: Path, document: type[_Document]) -> _Document:
    try:
        return msgspec.json.decode(path.read_bytes(), type=document)
    except msgspec.DecodeError as error:
        raise LifecycleError(f"{error}; remove the file and materialise its asset again - in {path}") from error
