"""Decides whether an alarm starts a training: a pure function from the state to an order or to a refusal."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from lifecycle.spec.monitoring import RetrainingSpec


@dataclass(frozen=True)
class RetrainingState:
    """The facts that the retrain sensor decides on.

    `as_of` is the cut-off of a training now. `alarm_reason` is that of the newest monitoring verdict, ``None`` without
    an alarm; `alarm_bundle` and `onset` are of the same verdict. `champion_bundle` serves now. `new_positives` are
    positives from `monitoring.verdict.first_new_positive_day` on and before the holdout of a training now.
    `last_ordered_as_of` is the cut-off of the last training ordered by an alarm, whatever its result. `broken_tries`
    counts its runs that broke off for another reason than a gate; 0 if the last of them did not.
    """

    model: str
    as_of: dt.date
    alarm_reason: str | None
    alarm_bundle: str | None
    onset: dt.date | None
    champion_bundle: str | None
    new_positives: int
    last_ordered_as_of: dt.date | None
    is_in_flight: bool
    broken_tries: int = 0


@dataclass(frozen=True)
class RetrainOrder:
    """Train as of a date; `run_key` is the same for the same model, date and try, so that Dagster runs it once."""

    as_of: dt.date
    run_key: str
    reason: str


@dataclass(frozen=True)
class NoRetraining:
    """No training now, and the reason."""

    reason: str


def decide_retraining(state: RetrainingState, spec: RetrainingSpec) -> RetrainOrder | NoRetraining:
    """Order a training if there is an alarm and there are enough new positives to learn from.

    A freeze of promotion does not prevent it: the candidate is still trained and judged. The first reason against a
    training is returned. A training that broke off for another reason than a gate is ordered again, up to
    `maximum_tries` times for its date and without a cooldown for a later one: the alarm has had no answer.
    """
    refusal = next(_refusals(state, spec), None)
    if refusal is not None:
        return NoRetraining(refusal)
    return RetrainOrder(
        as_of=state.as_of,
        run_key=run_key(state.model, state.as_of, state.broken_tries if _is_repeated(state) else 0),
        reason=f"{state.alarm_reason}; {state.new_positives} new positives since {state.onset} are mature",
    )


def run_key(model: str, as_of: dt.date, broken_tries: int = 0) -> str:
    """Key that identifies a try of the retraining of a model as of a date.

    Examples
    --------
    >>> run_key("card_fraud", dt.date(2018, 8, 29))
    'card_fraud:2018-08-29'
    >>> run_key("card_fraud", dt.date(2018, 8, 29), broken_tries=1)
    'card_fraud:2018-08-29:try-2'
    """
    key = f"{model}:{as_of.isoformat()}"
    return f"{key}:try-{broken_tries + 1}" if broken_tries else key


def _is_repeated(state: RetrainingState) -> bool:
    return state.last_ordered_as_of == state.as_of


def _refusals(state: RetrainingState, spec: RetrainingSpec) -> Iterator[str]:
    """The reasons against a training now, the most important first."""
    if not spec.is_enabled:
        yield "retraining by alarm is not enabled"
    if state.alarm_reason is None or state.onset is None:
        yield "there is no alarm"
    elif state.alarm_bundle != state.champion_bundle:
        yield "the alarm concerns an earlier champion"
    if state.is_in_flight:
        yield "a retraining is in progress"
    last = state.last_ordered_as_of
    if _is_repeated(state) and state.broken_tries >= spec.maximum_tries:
        yield f"{state.broken_tries} retrainings at as_of {last} broke off; a later as_of is tried again"
    elif last is not None and (state.as_of < last or (_is_repeated(state) and not state.broken_tries)):
        yield f"a retraining at as_of {last} was already ordered"
    if last is not None and not state.broken_tries and state.as_of < last + dt.timedelta(days=spec.cooldown_days):
        yield f"the cooldown lasts until as_of {last + dt.timedelta(days=spec.cooldown_days)}"
    if state.new_positives < spec.minimum_new_positives:
        yield (
            f"{state.new_positives} mature positives since the onset are new to the champion, "
            f"below {spec.minimum_new_positives}"
        )
