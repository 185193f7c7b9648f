"""A metric's difference between two models, as the verdicts show it."""

from lifecycle.modelling.evaluation import Interval


def difference_text(interval: Interval) -> str:
    """A difference and its interval, for a summary."""
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def observed_difference(interval: Interval) -> dict[str, object]:
    """A difference and its interval, for the numbers of a verdict."""
    return {"difference": interval.value, "low": interval.low, "high": interval.high}
