"""When does an alarm start a training? A pure function from what stands to an order, or to the reason why not."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from lifecycle.spec.risk_model import RetrainingSpec


@dataclass(frozen=True)
class RetrainingState:
    """What is known when the sensor looks.

    `as_of` is the cut-off a training now would have. `alarm_reason`, `alarm_bundle` and `onset` come from the newest
    monitoring verdict that is an alarm, ``None`` where none stands; `champion_bundle` is what serves now, fitted on the
    days before `champion_trained_until`. `new_frauds` are frauds that occurred from `first_new_fraud_day` on and before
    the holdout of a training now. `last_ordered_as_of` is that of the last training by alarm, whatever became of it.
    """

    model: str
    as_of: dt.date
    alarm_reason: str | None
    alarm_bundle: str | None
    onset: dt.date | None
    champion_bundle: str | None
    champion_trained_until: dt.date | None
    new_frauds: int
    last_ordered_as_of: dt.date | None
    is_in_flight: bool


@dataclass(frozen=True)
class RetrainOrder:
    """Train at `as_of`, once: `run_key` is the same for the same model and date."""

    model: str
    as_of: dt.date
    run_key: str
    reason: str


@dataclass(frozen=True)
class NoRetraining:
    """Why nothing is started now."""

    reason: str


def decide_retraining(state: RetrainingState, spec: RetrainingSpec) -> RetrainOrder | NoRetraining:
    """Order a training when an alarm stands and there is something new to learn from.

    A freeze of promotion does not stop it: a frozen model may still have a candidate made and judged. The first reason
    against it is the answer.
    """
    refusal = next(_refusals(state, spec), None)
    if refusal is not None:
        return NoRetraining(refusal)
    return RetrainOrder(
        model=state.model,
        as_of=state.as_of,
        run_key=run_key(state.model, state.as_of),
        reason=f"{state.alarm_reason}; {state.new_frauds} new frauds since {state.onset} are mature",
    )


def run_key(model: str, as_of: dt.date) -> str:
    """What makes a retraining the same retraining.

    Examples
    --------
    >>> run_key("card_fraud", dt.date(2018, 8, 29))
    'card_fraud:2018-08-29'
    """
    return f"{model}:{as_of.isoformat()}"


def first_new_fraud_day(onset: dt.date, champion_trained_until: dt.date | None) -> dt.date:
    """First day whose frauds are new: from the onset on, and later than what the champion was fitted on."""
    return onset if champion_trained_until is None else max(onset, champion_trained_until)


def _refusals(state: RetrainingState, spec: RetrainingSpec) -> Iterator[str]:
    """The reasons against a training now, the most telling first."""
    if not spec.is_enabled:
        yield "retraining by alarm is not enabled"
    if state.alarm_reason is None or state.onset is None:
        yield "no alarm stands"
    elif state.alarm_bundle != state.champion_bundle:
        yield "the alarm is of an earlier champion"
    if state.is_in_flight:
        yield "a retraining is in flight"
    last = state.last_ordered_as_of
    if last is not None and state.as_of <= last:
        yield f"a retraining at as_of {last} was already ordered"
    if last is not None and state.as_of < last + dt.timedelta(days=spec.cooldown_days):
        yield f"the cooldown lasts until as_of {last + dt.timedelta(days=spec.cooldown_days)}"
    if state.new_frauds < spec.minimum_new_frauds:
        yield (
            f"{state.new_frauds} frauds since the onset that the champion has not learned from are mature, "
            f"below {spec.minimum_new_frauds}"
        )
