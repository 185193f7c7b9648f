"""Live performance: recall at capacity on the outcomes that have matured."""

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.modelling.evaluation import Interval, Predictions
from lifecycle.modelling.ranking import Outcomes, card_days
from lifecycle.spec.risk_model import DriftSpec, RiskModelSpec
from lifecycle.tables.arrays import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

RECALL = "recall_at_capacity"
_Z = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class PerformanceVerdict:
    """Verdict on the matured outcomes of a window; dates in ISO form, as the evidence stores it.

    `recall` is ``None`` without positives. `promised` is the holdout's recall, `required` the limit of the alarm.
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
        ``recall_at_capacity`` of the holdout's evaluation.
    """
    answers = own_answers(decisions, champion, spec.decision.review_cards_per_day)
    caught = answers.caught if 0 < answers.positives < answers.own else 0
    minimum_positives, window = spec.gates.minimum_positives, mature_window(spec, as_of)
    blind = _blind_reason(answers)
    return judge_performance(caught, answers.positives, promised_recall, window, minimum_positives, spec.drift, blind)


@dataclass(frozen=True)
class OwnAnswers:
    """What a bundle answered as champion.

    `own` are its rows and `answered` all rows of the days that have such rows; `positives` are the positive ones of
    `own`. `capacity` is its share of the daily capacity, and `caught` the positives whose card is among so many of
    highest score of its day. `cards` are summed over the `days`.
    """

    own: int
    answered: int
    positives: int
    caught: int
    capacity: int
    cards: int
    days: int


def own_answers(decisions: Iterable["pa.Table"], champion: str, capacity: int) -> OwnAnswers:
    """What a bundle answered as champion, table by table.

    Parameters
    ----------
    decisions
        As for `performance_verdict`.
    champion
        Digest of the bundle.
    capacity
        Cards that people can review in a day.
    """
    own = answered = positives = cards = 0
    positives_of_cards: list[FloatArray] = []
    for table in decisions:
        rows, of_these_days = _own_rows(table, champion)
        outcomes, predictions = outcomes_and_predictions(rows)
        days = card_days(outcomes, predictions.margins)
        own, answered = own + rows.num_rows, answered + of_these_days
        positives, cards = positives + int(outcomes.is_positive.sum()), cards + sum(len(day.cards) for day in days)
        # The share of the capacity is known after the last table, and is at most all of it.
        positives_of_cards += [day.positives[:capacity].copy() for day in days]
    share = max(1, round(capacity * own / max(answered, 1)))
    caught = sum(round(float(found[:share].sum())) for found in positives_of_cards)
    return OwnAnswers(own, answered, positives, caught, share, cards, len(positives_of_cards))


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
    if not answers.own:
        return None
    cards = answers.cards / answers.days
    if cards > answers.capacity:
        return None
    return f"{cards:.0f} cards a day, not above the capacity of {answers.capacity}, so that any model has a recall of 1"


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
        is_positive=decisions.column("reported_at").is_valid().to_numpy(),
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
) -> PerformanceVerdict:
    """Recall at capacity on matured outcomes, against that of the holdout.

    A few dozen positives give a recall that is off by a tenth by chance alone, so the alarm asks whether even the upper
    limit of the live recall is below the lower end of the holdout's interval minus the tolerance.

    Parameters
    ----------
    caught, positives
        Matured positives of the window whose card was among the day's capacity, and all of them.
    holdout_recall
        ``recall_at_capacity`` of the holdout's evaluation.
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
        reason = f"{positives} matured positives, below {minimum_positives}: no verdict"
    else:
        word = "below" if is_alarm else "not below"
        reason = (
            f"recall at capacity {recall:.3f} ({highest:.3f} at most, with 95 % confidence) is {word} {required:.3f} "
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
