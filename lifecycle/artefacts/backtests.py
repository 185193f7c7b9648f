"""Results of backtests: a file for each date, in a folder that is named by everything that was asked.

``backtests/results/<model>/<digest>/asked.json`` says what that was: both model files, the dbt project, the code. A
date's file is named by its date and by the digest of its training set, so that results of other data are never mixed.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.windows import WindowCount
from serving.contract.documents import Struct, Verdict
from serving.storage.durable import write_file

ASKED_FILE = "asked.json"
_Document = TypeVar("_Document")


class RecipeResult(Struct, frozen=True):
    """One recipe on one date: its candidate, the judged model's metrics on the holdout, and every gate's verdict."""

    candidate_digest: str
    metrics: dict[str, Interval]
    baseline_difference: dict[str, Interval]
    verdicts: tuple[Verdict, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Names of the gates that block: failed, or inconclusive."""
        return tuple(verdict.gate for verdict in self.verdicts if not verdict.is_passed)


class DateResult(Struct, frozen=True):
    """A date of a backtest. `difference` is the model minus `against` on the same holdout, over the same draws.

    `champion` is the bundle of the champion that the gates compared with, ``None`` without one.
    """

    model: str
    as_of: str
    training_set_digest: str
    windows: tuple[WindowCount, ...]
    champion: str | None
    ours: RecipeResult
    against: RecipeResult | None
    difference: dict[str, Interval] | None
    seconds: float


class DateDrift(Struct, frozen=True):
    """PSI by column of the last week before a date, against the reference of the date before and by that date's model.

    It is what live monitoring would have found on the date, had the earlier date's model been the champion.
    """

    as_of: str
    previous: str
    previous_candidate: str
    training_set_digest: str
    psi: dict[str, float]


@dataclass(frozen=True)
class Row:
    """A date of a backtest: its result, or the reason why it has no result."""

    as_of: dt.date
    result: DateResult | None = None
    reason: str | None = None
    drift: DateDrift | None = None
    is_taken_over: bool = False


@dataclass(frozen=True)
class Backtest:
    """A whole backtest, in order of its dates; `metric` is the gates' own, `maximum_psi` the drift's limit."""

    model: str
    against: str | None
    metric: str
    maximum_psi: float
    confidence: float
    rows: Sequence[Row]
    folder: Path
    jobs: int
    seconds: float

    @property
    def results(self) -> list[DateResult]:
        """The dates that have a result."""
        return [row.result for row in self.rows if row.result is not None]

    @property
    def taken_over(self) -> int:
        """Number of dates whose result an earlier, equal command had computed."""
        return sum(row.is_taken_over for row in self.rows)


class BacktestStore:
    """The results of one backtest: of one model file, against at most one other, on one dbt project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, root: Path, model: str, asked: Mapping[str, Any]) -> Self:
        """The store of what was asked, which its folder says; idempotent."""
        content = msgspec.json.encode(asked, order="deterministic")
        store = cls(root / "results" / model / hashlib.sha256(content).hexdigest()[:16])
        if not (store.folder / ASKED_FILE).exists():
            write_file(store.folder / ASKED_FILE, content)
        return store

    def write(self, result: DateResult) -> None:
        """Keep a date's result."""
        self._write(_name(result.as_of, result.training_set_digest), result)

    def read(self, as_of: str, training_set_digest: str) -> DateResult | None:
        """The result of a date on this training set; ``None`` if it was not computed, or its file is damaged."""
        return _read(self.folder / _name(as_of, training_set_digest), DateResult)

    def write_drift(self, drift: DateDrift) -> None:
        """Keep the drift between two dates."""
        self._write(f"drift-{_name(drift.as_of, drift.training_set_digest)}", drift)

    def read_drift(self, as_of: str, training_set_digest: str, previous_candidate: str) -> DateDrift | None:
        """The drift of a date since the earlier date of this candidate; ``None`` if it was not computed."""
        drift = _read(self.folder / f"drift-{_name(as_of, training_set_digest)}", DateDrift)
        return drift if drift is not None and drift.previous_candidate == previous_candidate else None

    def _write(self, name: str, document: Struct) -> None:
        write_file(self.folder / name, msgspec.json.format(msgspec.json.encode(document), indent=2))


def _read(path: Path, document: type[_Document]) -> _Document | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=document)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _name(as_of: str, training_set_digest: str) -> str:
    return f"{as_of}-{training_set_digest[:16]}.json"
