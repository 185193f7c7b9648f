"""Evidence about candidates and live traffic: small JSON files that sensors and people read."""

import datetime as dt
from pathlib import Path
from typing import TypeVar

import msgspec

from lifecycle.artefacts.earlier_names import decode_document
from lifecycle.errors import LifecycleError
from lifecycle.gates.outcomes import overall, overall_text
from lifecycle.monitoring.accounts import DayOfDecisions, DayOfRequests
from lifecycle.monitoring.decision_load import LoadVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.verdict import MonitoringVerdict
from serving.contract.documents import Outcome, Struct, Verdict
from serving.storage.durable import write_file

_Document = TypeVar("_Document")
GATES, DRIFT, LIVE_PERFORMANCE, LOAD = "gates", "drift", "live_performance", "decision_load"
BACKTEST_GATES = "backtest_gates"
REQUESTS, MATCHING = "requests", "matching"
"""Kinds of evidence: the folders below that of a model."""


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
        """The verdicts that block: failed, or inconclusive."""
        return tuple(verdict for verdict in self.verdicts if not verdict.is_passed)

    @property
    def outcome(self) -> Outcome:
        """The outcome of all gates together."""
        return overall(self.verdicts)

    @property
    def outcome_text(self) -> str:
        """The outcome, with the gates that block."""
        return overall_text(self.verdicts)


class EvidenceStore:
    """The evidence of one model: gates by candidate, monitoring by `as_of`. A repeated write replaces the file."""

    def __init__(self, root: Path, model: str) -> None:
        self._root = root / model

    def write_gates(self, evidence: GateEvidence, *, is_backtest: bool = False) -> None:
        """Write the verdicts on a candidate; those of a backtest apart, so that no promotion reads them."""
        self._write(BACKTEST_GATES if is_backtest else GATES, evidence.candidate_digest, evidence)

    def gates(self, candidate_digest: str, *, is_backtest: bool = False) -> GateEvidence:
        """The verdicts on this candidate, or a backtest's.

        Raises
        ------
        LifecycleError
            If its gates never ran.
        """
        path = self._path(BACKTEST_GATES if is_backtest else GATES, candidate_digest)
        if not path.exists():
            raise LifecycleError(
                f"Expected the gates' verdicts on candidate {candidate_digest}, found none; run its gates first "
                f"- at {path}"
            )
        return read_evidence(path, GateEvidence)

    def has_gates(self, candidate_digest: str, *, is_backtest: bool = False) -> bool:
        """Whether there are verdicts on this candidate, or a backtest's."""
        return self._path(BACKTEST_GATES if is_backtest else GATES, candidate_digest).exists()

    def write_drift(self, verdict: MonitoringVerdict) -> None:
        """Write the verdict of its `as_of`."""
        self._write(DRIFT, verdict.as_of, verdict)

    def drift(self) -> dict[dt.date, MonitoringVerdict]:
        """Monitoring verdicts by `as_of`, oldest first."""
        return self._by_date(DRIFT, MonitoringVerdict)

    def drift_days(self) -> set[dt.date]:
        """The `as_of` dates that have a verdict; reads no file."""
        return {dt.date.fromisoformat(path.stem) for path in (self._root / DRIFT).glob("*.json")}

    def write_live_performance(self, as_of: dt.date, verdict: PerformanceVerdict) -> None:
        """Write the live performance as of a date."""
        self._write(LIVE_PERFORMANCE, as_of.isoformat(), verdict)

    def live_performance(self) -> dict[dt.date, PerformanceVerdict]:
        """Live performance by `as_of`, oldest first."""
        return self._by_date(LIVE_PERFORMANCE, PerformanceVerdict)

    def write_decision_load(self, verdict: LoadVerdict) -> None:
        """Write the verdict of its `as_of`."""
        self._write(LOAD, verdict.as_of, verdict)

    def decision_load(self) -> dict[dt.date, LoadVerdict]:
        """Verdicts on the cards stopped a day by `as_of`, oldest first."""
        return self._by_date(LOAD, LoadVerdict)

    def write_requests(self, day: DayOfRequests) -> None:
        """Write the requests of a day; the file is named by the `as_of` after it, as every verdict is."""
        self._write(REQUESTS, _as_of(day.day), day)

    def requests(self) -> dict[dt.date, DayOfRequests]:
        """Requests of each day by `as_of`, oldest first."""
        return self._by_date(REQUESTS, DayOfRequests)

    def write_matching(self, day: DayOfDecisions) -> None:
        """Write what a day's decisions were matched with; named as `write_requests` does."""
        self._write(MATCHING, _as_of(day.day), day)

    def matching(self) -> dict[dt.date, DayOfDecisions]:
        """Decisions of each day, matched with its transactions, by `as_of`, oldest first."""
        return self._by_date(MATCHING, DayOfDecisions)

    def _path(self, kind: str, name: str) -> Path:
        return self._root / kind / f"{name}.json"

    def _write(self, kind: str, name: str, document: object) -> None:
        write_file(self._path(kind, name), evidence_content(document))

    def _by_date(self, kind: str, document: type[_Document]) -> dict[dt.date, _Document]:
        paths = sorted((self._root / kind).glob("*.json"))
        return {dt.date.fromisoformat(path.stem): read_evidence(path, document) for path in paths}


def evidence_content(document: object) -> bytes:
    """The bytes of a document's file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def read_evidence(path: Path, document: type[_Document]) -> _Document:
    """The document of one file.

    Raises
    ------
    LifecycleError
        If it is damaged; `OSError` if it cannot be read.
    """
    try:
        return decode_document(path.read_bytes(), document)
    except msgspec.DecodeError as error:
        raise LifecycleError(f"{error}; remove the file and materialise its asset again - in {path}") from error


def _as_of(day: dt.date) -> str:
    return (day + dt.timedelta(days=1)).isoformat()
