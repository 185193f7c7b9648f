"""Live performance on the outcomes that have matured: recall of what was reviewed, ranking, and expected rates."""

import dataclasses
import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.modelling.evaluation import Interval, Predictions, Reviewed, reviewed_by
from lifecycle.modelling.rank_statistics import RankStatistics, rank_statistics
from lifecycle.modelling.ranking import Outcomes, card_days
from lifecycle.spec.monitoring import DriftSpec
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import BoolArray, FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

_Z = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class PerformanceVerdict:
    """Verdict on the matured outcomes of a window; dates in ISO form, as the evidence stores it.

    `recall` of the `metric` is ``None`` without positives. `promised` is the holdout's, `required` the limit of the
    alarm. `rows` are the champion's answers with a known outcome, `unknown` those without one. `roc_auc` and `ks` are
    ``None`` with one class only; `expected_rate` is the mean score of the rows, `observed_rate` their share of
    positives.
    """

    window_start: str
    window_end: str
    positives: int
    has_verdict: bool
    is_alarm: bool
    recall: float | None
    promised: float
    required: float
    reason: str
    metric: str = "recall_at_capacity"
    rows: int | None = None
    unknown: int = 0
    roc_auc: float | None = None
    ks: float | None = None
    expected_rate: float | None = None
    observed_rate: float | None = None

    @property
    def gini(self) -> float | None:
        """``2 roc_auc - 1``."""
        return None if self.roc_auc is None else 2 * self.roc_auc - 1


def recall_metric(spec: RiskModelSpec) -> str:
    """The metric of a holdout that live traffic is held to: recall at capacity, or from the cut-off on."""
    return "recall_at_capacity" if spec.decision.capacity else "recall_at_cut_off"


def mature_window(spec: RiskModelSpec, as_of: dt.date) -> tuple[dt.date, dt.date]:
    """Days ``[start, end)`` of `occurred_at`: the last whole weeks whose outcomes are mature as of a date."""
    end = as_of - dt.timedelta(days=spec.label.maturity_days)
    return end - dt.timedelta(days=spec.drift.window_days), end


def performance_verdict(
    spec: RiskModelSpec, decisions: Iterable["pa.Table"], champion: str, promised_recall: Interval, as_of: dt.date
) -> PerformanceVerdict:
    """Recall at capacity of the champion's own answers in `mature_window`, against that of its holdout.

    What another bundle answered as champion is no evidence about this one. A canary answers a random share of the
    entities, and its rows are another model's performance, as are those of an earlier champion: the capacity is the
    part of the daily one that the champion's rows are of all rows of its days. With the whole capacity for fewer cards,
    recall would be higher than on all of them.

    Parameters
    ----------
    decisions
        Decisions of the window with the outcomes reported before `as_of`, each table with all rows of its days; only
        one is in memory at a time. Columns as for `outcomes_and_predictions`, slot, and bundle_digest.
    champion
        Digest of the champion's bundle.
    promised_recall
        `recall_metric` of the holdout's evaluation.
    """
    answers = own_answers(decisions, champion, reviewed_by(spec.decision))
    caught = answers.caught if 0 < answers.positives < answers.known else 0
    minimum_positives = spec.drift.minimum_positives or spec.gates.minimum_positives
    window, blind = mature_window(spec, as_of), _blind_reason(answers)
    verdict = judge_performance(
        caught,
        answers.positives,
        promised_recall,
        window,
        minimum_positives,
        spec.drift,
        blind,
        metric=recall_metric(spec),
        positive=spec.label.names.positive,
    )
    ranking = answers.ranking
    return dataclasses.replace(
        verdict,
        rows=answers.known,
        unknown=answers.own - answers.known,
        roc_auc=ranking.roc_auc,
        ks=ranking.ks,
        expected_rate=ranking.mean_score,
        observed_rate=answers.positives / answers.known if answers.known else None,
    )


@dataclass(frozen=True)
class OwnAnswers:
    """What a bundle answered as champion.

    `own` are its rows, `known` those with a known outcome, `answered` all rows of the days that have such rows, and
    `positives` the positive ones of `known`. `capacity` is its share of the daily capacity, and `caught` the positives
    whose entity is among so many of highest score of its day, or whose score reaches the cut-off. `cards` are summed
    over the `days`.
    """

    own: int
    known: int
    answered: int
    positives: int
    caught: int
    capacity: int | None
    cards: int
    days: int
    ranking: RankStatistics


def own_answers(decisions: Iterable["pa.Table"], champion: str, reviewed: Reviewed) -> OwnAnswers:
    """What a bundle answered as champion, table by table.

    Parameters
    ----------
    decisions
        As for `performance_verdict`.
    champion
        Digest of the bundle.
    reviewed
        The daily capacity, or the cut-off.
    """
    own = answered = cards = caught = 0
    positives_of_cards: list[FloatArray] = []
    seen: list[tuple[FloatArray, BoolArray]] = []
    for table in decisions:
        rows, of_these_days = _own_rows(table, champion)
        own, answered = own + rows.num_rows, answered + of_these_days
        known = rows.filter(rows.column("is_positive").is_valid())
        outcomes, predictions = outcomes_and_predictions(known)
        seen.append((predictions.scores, outcomes.is_positive))
        if reviewed.capacity is None:
            caught += int((outcomes.is_positive & (predictions.scores >= (reviewed.cut_off or 0.0))).sum())
            continue
        days = card_days(outcomes, predictions.margins)
        cards += sum(len(day.cards) for day in days)
        # The share of the capacity is known after the last table, and is at most all of it.
        positives_of_cards += [day.positives[: reviewed.capacity].copy() for day in days]
    share = None
    if reviewed.capacity is not None:
        share = max(1, round(reviewed.capacity * own / max(answered, 1)))
        caught = sum(round(float(found[:share].sum())) for found in positives_of_cards)
    ranking = rank_statistics(seen)
    return OwnAnswers(
        own, ranking.rows, answered, ranking.positives, caught, share, cards, len(positives_of_cards), ranking
    )


def _own_rows(decisions: "pa.Table", champion: str) -> tuple["pa.Table", int]:
    """Rows that the bundle answered as champion, and the number of all rows of the days that have one."""
    import pyarrow.compute as pc

    days = decisions.column("occurred_at").to_numpy().astype("datetime64[D]")
    is_champions = pc.and_(
        pc.equal(decisions.column("slot"), "champion"), pc.equal(decisions.column("bundle_digest"), champion)
    )
    # A mask in Arrow: NumPy would make a Python text of each row.
    own = np.asarray(is_champions.fill_null(False).to_numpy(), dtype=np.bool_)
    return decisions.filter(is_champions), int(np.isin(days, days[own]).sum())


def _blind_reason(answers: OwnAnswers) -> str | None:
    """Why recall at capacity says nothing about a model: people could look at every card; ``None`` if it does."""
    if not answers.own or answers.capacity is None or not answers.days:
        return None
    cards = answers.cards / answers.days
    if cards > answers.capacity:
        return None
    return (
        f"{cards:.0f} entities a day, not above the capacity of {answers.capacity}, so that any model has a recall of 1"
    )


def outcomes_and_predictions(decisions: "pa.Table") -> tuple[Outcomes, Predictions]:
    """Outcomes of decisions, and the model's margins and scores.

    Parameters
    ----------
    decisions
        Columns occurred_at, entity, amount, is_positive (never null), margin, score.
    """
    amount = decisions.column("amount")
    outcomes = Outcomes(
        occurred_at=decisions.column("occurred_at").to_numpy().astype("datetime64[us]"),
        entity=decisions.column("entity").to_numpy(),
        amount=None if amount.null_count else np.asarray(amount.cast("float64").to_numpy(), dtype=np.float64),
        is_positive=np.asarray(decisions.column("is_positive").to_numpy(), dtype=np.bool_),
    )
    predictions = Predictions(
        margins=np.asarray(decisions.column("margin").to_numpy(), dtype=np.float64),
        scores=np.asarray(decisions.column("score").to_numpy(), dtype=np.float64),
    )
    return outcomes, predictions


def judge_performance(
    caught: int,
    positives: int,
    holdout_recall: Interval,
    window: tuple[dt.date, dt.date],
    minimum_positives: int,
    spec: DriftSpec,
    blind: str | None = None,
    metric: str = "recall_at_capacity",
    positive: str = "positive",
) -> PerformanceVerdict:
    """Recall on matured outcomes, against that of the holdout.

    A few dozen positives give a recall that is off by a tenth by chance alone, so the alarm asks whether even the upper
    limit of the live recall is below the lower end of the holdout's interval minus the tolerance.

    Parameters
    ----------
    caught, positives
        Matured positives of the window whose card was among the day's capacity, and all of them.
    holdout_recall
        `metric` of the holdout's evaluation.
    window
        Days ``[start, end)`` of `occurred_at`, all mature.
    minimum_positives
        A window with fewer gives no verdict.
    blind
        Why recall says nothing about the model; with a reason there is no verdict.
    """
    required = max(holdout_recall.low - spec.recall_tolerance, 0.0)
    has_verdict = positives >= minimum_positives and blind is None
    recall = caught / positives if positives else None
    highest = upper_limit(caught, positives)
    is_alarm = has_verdict and highest < required
    if blind is not None:
        reason = f"{blind}: no verdict"
    elif not has_verdict:
        reason = f"{positives} matured {positive} examples, below {minimum_positives}: no verdict"
    else:
        word, name = "below" if is_alarm else "not below", metric.replace("_", " ")
        reason = (
            f"{name} {recall:.3f} ({highest:.3f} at most, with 95 % confidence) is {word} {required:.3f} "
            f"(holdout {holdout_recall.value:.3f})"
        )
    return PerformanceVerdict(
        window_start=window[0].isoformat(),
        window_end=window[1].isoformat(),
        positives=positives,
        has_verdict=has_verdict,
        is_alarm=is_alarm,
        recall=recall,
        promised=holdout_recall.value,
        required=required,
        reason=reason,
        metric=metric,
    )


def lower_limit(successes: int, trials: int) -> float:
    """Lower limit of a proportion with 95 % confidence, as `upper_limit`; 0 without trials.

    Examples
    --------
    >>> round(lower_limit(17, 100), 4)
    0.1171
    """
    return 1.0 - upper_limit(trials - successes, trials)


def upper_limit(successes: int, trials: int) -> float:
    """Upper limit of a proportion with 95 % confidence, one-sided, by Wilson's score interval; 1 without trials.

    Wilson, Probable inference, the law of succession, and statistical inference (1927). Positives of one card are not
    independent, so the true limit is somewhat higher.

    Examples
    --------
    >>> round(upper_limit(17, 100), 4)
    0.2403
    """
    if trials == 0:
        return 1.0
    share = successes / trials
    spread = math.sqrt(share * (1 - share) / trials + (_Z / (2 * trials)) ** 2)
    return (share + _Z**2 / (2 * trials) + _Z * spread) / (1 + _Z**2 / trials)
