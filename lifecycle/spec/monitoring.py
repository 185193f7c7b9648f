"""The part of a model's file that says when live traffic alarms, and when an alarm retrains."""

from typing import Annotated

from pydantic import Field

from lifecycle.spec.base import SpecModel


class DriftSpec(SpecModel):
    """Thresholds for alarms of live traffic and live performance."""

    window_days: Annotated[int, Field(ge=7, multiple_of=7)] = 7
    """Whole weeks, so that the mix of weekdays raises no alarm; by default 7 days, with a monthly cadence 35."""
    maximum_psi: Annotated[float, Field(gt=0)] = 0.2
    """Siddiqi, Credit Risk Scorecards (2006): below 0.1 no change, 0.1 to 0.25 some, above 0.25 a shift."""
    maximum_outside_share: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Tolerated share of a window's rows outside the reference's support, for example values below its minimum; a
    larger one alarms unless unchanged traffic would reach it (`monitoring.drift.OUTSIDE_ALPHA`)."""
    minimum_rows: Annotated[int, Field(ge=1)] = 1000
    """A window with fewer decisions gives no verdict."""
    minimum_positives: Annotated[int, Field(ge=1)] | None = None
    """A window with fewer known positives gives no verdict on live performance. ``None``: `gates.minimum_positives`."""
    bins: Annotated[int, Field(ge=2, le=100)] = 10
    recall_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Tolerated distance of live recall below the lower end of the holdout's interval."""


class RetrainingSpec(SpecModel):
    """Conditions under which an alarm starts a retraining."""

    is_enabled: bool = True
    minimum_new_positives: Annotated[int, Field(ge=1)] = 50
    """Matured positives between the onset of the drift and the holdout of a training now, which the judged model learns
    from. With fewer, the gates would judge a procedure that has not seen the change."""
    cooldown_days: Annotated[int, Field(ge=0)] = 7
    """Days of `as_of` between two retrainings."""
    maximum_tries: Annotated[int, Field(ge=1, le=10)] = 3
    """Runs for one `as_of`, if they break off for another reason than a gate."""
    poll_seconds: Annotated[int, Field(ge=1)] = 60
