"""Two models on one fold after the other, until the difference is decided or there is no further fold."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifecycle.gates.looks import Look, LookDecision, decide, look_levels
from lifecycle.modelling.evaluation import Predictions, Reviewed
from lifecycle.modelling.fold_evidence import FoldDifference, fold_difference, pooled_interval
from lifecycle.modelling.ranking import Outcomes
from lifecycle.spec.gates import GatesSpec


@dataclass(frozen=True)
class PairedFold:
    """One fold's outcomes; `score` makes both models' predictions. It may fit a model, and is called only if needed."""

    start: dt.date
    end: dt.date
    outcomes: Outcomes
    score: Callable[[], tuple[Predictions, Predictions]]

    @property
    def positives(self) -> int:
        """Positive examples of the fold."""
        return int(self.outcomes.is_positive.sum())


@dataclass(frozen=True)
class Looked:
    """The decision with the looks that led to it, of how many possible ones, and the rows that they saw."""

    decision: LookDecision
    looks: tuple[Look, ...]
    possible: int
    start: dt.date
    rows: int
    positives: int
    ways: int

    def observed(self) -> dict[str, object]:
        """The numbers of a verdict: the newest interval, and the looks."""
        interval = self.looks[-1].interval
        return {
            "difference": interval.value,
            "low": interval.low,
            "high": interval.high,
            "folds": len(self.looks),
            "possible_folds": self.possible,
            "folds_from": self.start.isoformat(),
            "fold_rows": self.rows,
            "fold_positives": self.positives,
            "clusters": self.ways,
        }


def look_until_decided(folds: Sequence[PairedFold], reviewed: Reviewed, gates: GatesSpec, margin: float) -> Looked:
    """Look at the folds in their order, which is fixed before any of them is seen.

    All looks together err with a probability of ``(1 - gates.confidence) / 2`` to each side, so that the interval of a
    single look is the usual one. The share of the evidence of a look is that of the folds' positives, which no score
    moves.
    """
    total = sum(fold.positives for fold in folds)
    shares = [sum(fold.positives for fold in folds[: number + 1]) / total for number in range(len(folds))]
    levels = look_levels(shares, (1 - gates.confidence) / 2)
    seen: list[FoldDifference] = []
    looks: list[Look] = []
    decision = LookDecision(None, "")
    for fold, level in zip(folds, levels, strict=True):
        ours, theirs = fold.score()
        ways = fold.outcomes.ways
        seen.append(fold_difference(fold.outcomes, ours, theirs, reviewed, gates.metric, ways))
        looks.append(Look(pooled_interval(seen, 1 - 2 * level), level))
        decision = decide(looks, margin, is_last=len(looks) == len(folds))
        if decision.outcome is not None:
            break
    looked = folds[: len(looks)]
    return Looked(
        decision=decision,
        looks=tuple(looks),
        possible=len(folds),
        start=looked[-1].start,
        rows=sum(len(fold.outcomes) for fold in looked),
        positives=sum(fold.positives for fold in looked),
        ways=len(folds[0].outcomes.ways),
    )
