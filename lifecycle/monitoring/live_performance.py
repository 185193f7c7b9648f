"""Live performance: recall at capacity on the outcomes that have matured."""

import datetime as dt
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.modelling.evaluation import Interval, Predictions, evaluate
from lifecycle.modelling.ranking import Outcomes, card_days
from lifecycle.spec.risk_model import DriftSpec, RiskModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

RECALL = "recall_at_capacity"
_Z = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class PerformanceVerdict:
    """Verdict on the matured outcomes of a window; dates in ISO form, as the evidence stores it.

    `recall` is ``None`` without frauds. `promised` is the holdout's recall, `required` the limit of the alarm.
    """

    window_start: str
    window_end: str
    frauds: int
    has_verdict: bool
    is_alarm: bool
    recall: float | None
    promised: float
    required: float
    reason: str


def mature_window(spec: RiskModelSpec, as_of: dt.date) -> tuple[dt.date, dt.date]:
    """Days ``[start, end)`` of `occurred_at`: the last whole weeks whose outcomes are mature as of a date."""
    end = as_of - dt.timedelta(days=spec.label.maturity_days)
    return end - dt.timedelta(days=spec.drift.window_days), end


def performance_verdict(
    spec: RiskModelSpec, decisions: "pa.Table", champion: str, promised_recall: Interval, as_of: dt.date
) -> PerformanceVerdict:
    """Recall at capacity of the champion's own answers in `mature_window`, against that of its holdout.

    What another bundle answered as champion is no evidence about this one.

    Parameters
    ----------
    decisions
        Decisions of the window with the outcomes reported before `as_of`; columns as for `outcomes_and_predictions`,
        slot, and bundle_digest.
    champion
        Digest of the champion's bundle.
    promised_recall
        ``recall_at_capacity`` of the holdout's evaluation.
    """
    rows, capacity = champion_rows_and_capacity(decisions, champion, spec.decision.review_cards_per_day)
    outcomes, predictions = outcomes_and_predictions(rows)
    frauds = int(outcomes.is_fraud.sum())
    caught = 0
    if 0 < frauds < len(outcomes):
        evaluation = evaluate(outcomes, predictions, capacity, draws=0)
        caught = round(evaluation.metrics[RECALL].value * frauds)
    minimum_frauds, window = spec.gates.minimum_frauds, mature_window(spec, as_of)
    blind = _blind_reason(outcomes, capacity)
    return judge_performance(caught, frauds, promised_recall, window, minimum_frauds, spec.drift, blind)


def _blind_reason(outcomes: Outcomes, capacity: int) -> str | None:
    """Why recall at capacity says nothing about a model: people could look at every card; ``None`` if it does."""
    if not len(outcomes):
        return None
    days = card_days(outcomes, np.zeros(len(outcomes)))
    cards = sum(len(day.cards) for day in days) / len(days)
    if cards > capacity:
        return None
    return f"{cards:.0f} cards a day, not above the capacity of {capacity}, so that any model has a recall of 1"


def champion_rows_and_capacity(decisions: "pa.Table", champion: str, capacity: int) -> tuple["pa.Table", int]:
    """Rows that a bundle answered as champion, and its proportional part of the daily capacity on those days.

    A canary answers a random share of the entities, and its rows are another model's performance, as are those of an
    earlier champion. Without them the whole capacity would apply to fewer cards, and recall would be higher than on all
    of them.

    Parameters
    ----------
    decisions
        Columns occurred_at, slot, bundle_digest.
    champion
        Digest of the bundle.
    """
    days = decisions.column("occurred_at").to_numpy().astype("datetime64[D]")
    is_champions = np.equal(decisions.column("slot").to_numpy(), "champion")
    is_champions &= np.equal(decisions.column("bundle_digest").to_numpy(), champion)
    answered = int(np.isin(days, days[is_champions]).sum())
    rows = decisions.filter(is_champions)
    return rows, max(1, round(capacity * rows.num_rows / max(answered, 1)))


def outcomes_and_predictions(decisions: "pa.Table") -> tuple[Outcomes, Predictions]:
    """Outcomes of decisions, and the model's margins and scores.

    Parameters
    ----------
    decisions
        Columns occurred_at, entity, amount, reported_at (null without a report), margin, score.
    """
    outcomes = Outcomes(
        occurred_at=decisions.column("occurred_at").to_numpy().astype("datetime64[us]"),
        entity=decisions.column("entity").to_numpy(),
        amount=np.asarray(decisions.column("amount").cast("float64").to_numpy(), dtype=np.float64),
        is_fraud=decisions.column("reported_at").is_valid().to_numpy(),
    )
    predictions = Predictions(
        margins=np.asarray(decisions.column("margin").to_numpy(), dtype=np.float64),
        scores=np.asarray(decisions.column("score").to_numpy(), dtype=np.float64),
    )
    return outcomes, predictions


def judge_performance(
    caught: int,
    frauds: int,
    holdout_recall: Interval,
    window: tuple[dt.date, dt.date],
    minimum_frauds: int,
    spec: DriftSpec,
    blind: str | None = None,
) -> PerformanceVerdict:
    """Recall at capacity on matured outcomes, against that of the holdout.

    A few dozen frauds give a recall that is off by a tenth by chance alone, so the alarm asks whether even the upper
    limit of the live recall is below the lower end of the holdout's interval minus the tolerance.

    Parameters
    ----------
    caught, frauds
        Matured fraudulent transactions of the window whose card was among the day's capacity, and all of them.
    holdout_recall
        ``recall_at_capacity`` of the holdout's evaluation.
    window
        Days ``[start, end)`` of `occurred_at`, all mature.
    minimum_frauds
        A window with fewer gives no verdict.
    blind
        Why recall says nothing about the model; with a reason there is no verdict.
    """
    required = max(holdout_recall.low - spec.recall_tolerance, 0.0)
    has_verdict = frauds >= minimum_frauds and blind is None
    recall = caught / frauds if frauds else None
    highest = upper_limit(caught, frauds)
    is_alarm = has_verdict and highest < required
    if blind is not None:
        reason = f"{blind}: no verdict"
    elif not has_verdict:
        reason = f"{frauds} matured frauds, below {minimum_frauds}: no verdict"
    else:
        word = "below" if is_alarm else "not below"
        reason = (
            f"recall at capacity {recall:.3f} ({highest:.3f} at most, with 95 % confidence) is {word} {required:.3f} "
            f"(holdout {holdout_recall.value:.3f})"
        )
    return PerformanceVerdict(
        window_start=window[0].isoformat(),
        window_end=window[1].isoformat(),
        frauds=frauds,
        has_verdict=has_verdict,
        is_alarm=is_alarm,
        recall=recall,
        promised=holdout_recall.value,
        required=required,
        reason=reason,
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

    Wilson, Probable inference, the law of succession, and statistical inference (1927). Frauds of one card are not
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
