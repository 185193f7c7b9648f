"""Drift of live traffic away from the training traffic: the population stability index on frozen bins."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from lifecycle.modelling.reference import SCORE, BinnedColumn, ColumnCounts, Reference
from lifecycle.modelling.support import outside_probability
from lifecycle.spec.monitoring import DriftSpec
from lifecycle.tables.arrays import FloatArray

PSEUDO_COUNT = 0.5
OUTSIDE_ALPHA = 1e-6
"""Probability below which rows outside the support are a change: one false alarm in a century for 20 columns a day."""

DailyCounts = Mapping[dt.date, Mapping[str, ColumnCounts]]


@dataclass(frozen=True)
class DriftVerdict:
    """Verdict on the decisions of whole weeks; dates in ISO form, as the evidence stores it.

    `psi` has every feature and the score, ``{}`` without a verdict. `alarmed` are the columns above the threshold,
    worst first. `onset` is the first day of the drift in progress, if there is an alarm. `missing_days` are the days of
    the window without decisions. `outside` has the share of rows outside the reference's support, of each column with
    any; `outside_alarmed` are the columns that it alarms, worst first. `counts` are the window's rows in the
    reference's bins, by column.
    """

    bundle_digest: str
    window_start: str
    window_end: str
    rows: int
    has_verdict: bool
    is_alarm: bool
    psi: dict[str, float]
    alarmed: tuple[str, ...]
    threshold: float
    onset: str | None
    reason: str
    missing_days: tuple[str, ...] = ()
    outside: dict[str, float] = field(default_factory=dict)
    outside_alarmed: tuple[str, ...] = ()
    outside_limit: float = 0.0
    counts: dict[str, tuple[int, ...]] = field(default_factory=dict)


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index of two binned distributions, in nats.

    A bin that only one window fills would make the index infinite: if there is one, `PSEUDO_COUNT` is added to every
    bin of both windows (the correction of Haldane, 1956, and Anscombe, 1956, for log ratios of counts). Bins that are
    empty in both are ignored.

    Parameters
    ----------
    reference, current
        Row counts over the same bins, shape ``(n_bins,)``.

    Returns
    -------
    float
        sum((c - r) * ln(c / r)) over the bins' shares; 0 for identical shares, no upper bound.

    Raises
    ------
    ValueError
        If the bins differ in number, a count is negative, or a window is empty.

    Examples
    --------
    >>> round(psi([50, 50], [40, 60]), 4)
    0.0405
    >>> round(psi([50, 50, 0], [40, 55, 5]), 4)
    0.1445
    """
    expected, observed = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if expected.shape != observed.shape or expected.ndim != 1:
        raise ValueError(f"Expected counts over the same bins, got shapes {expected.shape} and {observed.shape}")
    if (expected < 0).any() or (observed < 0).any() or not expected.sum() or not observed.sum():
        raise ValueError("Expected two windows of non-negative counts with at least one row each")
    filled = (expected > 0) | (observed > 0)
    expected, observed = expected[filled], observed[filled]
    if not expected.all() or not observed.all():
        expected, observed = expected + PSEUDO_COUNT, observed + PSEUDO_COUNT
    expected, observed = expected / expected.sum(), observed / observed.sum()
    return float(np.sum((observed - expected) * np.log(observed / expected)))


def judge_drift(
    reference: Reference,
    daily: DailyCounts,
    window_end: dt.date,
    spec: DriftSpec,
    *,
    bundle_digest: str,
    is_every_day: bool = True,
) -> DriftVerdict:
    """Compare the whole weeks before `window_end` with the frozen reference: each feature, and the score.

    A day without decisions is replaced by the day one window earlier, which is the same weekday, so that one lost day
    neither changes the mix of weekdays nor prevents a verdict for as long as it is in the window.

    A column alarms if its PSI is above the limit, or if more rows than tolerated are outside the reference's support:
    the PSI hardly moves with a new value in one row of a hundred, and not at all if the value shares a bin.

    Parameters
    ----------
    reference
        Frozen with the model that made the decisions.
    daily
        Counts by day of `occurred_at` and column (`modelling.reference.count`), of the window
        and, if days of it have no decisions, of the window before it; other days are ignored. If a missing day has no
        decisions there either, there is no verdict.
    window_end, bundle_digest
        The day after the window's last; the champion of the reference and the decisions.
    is_every_day
        Whether decisions are expected on every day; otherwise days without any are left out.
    """
    start = window_end - dt.timedelta(days=spec.window_days)
    dates, missing = _dates(daily, start, window_end, is_every_day=is_every_day)
    counts = {name: _by_day(daily, dates, name, len(binned.counts)) for name, binned in reference.columns.items()}
    rows_by_day = counts[SCORE].bins.sum(axis=1)
    no_verdict_reason = _no_verdict(rows_by_day, spec)
    indices: dict[str, float] = {}
    shares: dict[str, float] = {}
    if no_verdict_reason is None:
        indices = {
            name: psi(binned.counts, counts[name].bins.sum(axis=0)) for name, binned in reference.columns.items()
        }
        shares = {name: float(column.outside.sum() / rows_by_day.sum()) for name, column in counts.items()}
    alarmed = _worst_first(indices, [name for name, value in indices.items() if value > spec.maximum_psi])
    is_outside = [name for name in shares if _is_outside(reference.columns[name], counts[name], spec)]
    outside_alarmed = _worst_first(shares, is_outside)
    onsets = [estimate_onset(reference.columns[name].counts, counts[name].bins, dates) for name in alarmed]
    onsets += [_outside_onset(reference.columns[name], counts[name], dates) for name in outside_alarmed]
    return DriftVerdict(
        bundle_digest=bundle_digest,
        window_start=start.isoformat(),
        window_end=window_end.isoformat(),
        rows=int(rows_by_day.sum()),
        has_verdict=no_verdict_reason is None,
        is_alarm=bool(alarmed or outside_alarmed),
        psi=indices,
        alarmed=alarmed,
        threshold=spec.maximum_psi,
        onset=min(onsets).isoformat() if onsets else None,
        reason=no_verdict_reason
        or _psi_reason(indices, alarmed, spec) + _outside_reason(shares, outside_alarmed, spec) + _replaced(missing),
        missing_days=tuple(date.isoformat() for date in missing),
        outside={name: share for name, share in shares.items() if share > 0},
        outside_alarmed=outside_alarmed,
        outside_limit=spec.maximum_outside_share,
        counts={name: tuple(int(bin_) for bin_ in counts[name].bins.sum(axis=0)) for name in indices},
    )


def estimate_onset(reference: Sequence[int], by_day: FloatArray, dates: Sequence[dt.date]) -> dt.date:
    """First day of a change that lasts until the window's end.

    The most likely day, if the days before it follow the reference and the days from it on follow one other
    distribution: the day with the highest log likelihood ratio ``sum(n * ln(share from that day on / share in the
    reference))`` (Hinkley, Inference about the change-point in a sequence of random variables, 1970). Pooling the days
    after the change averages over weekdays; the index of a single day would not.

    Parameters
    ----------
    reference
        The column's frozen counts, shape ``(n_bins,)``.
    by_day
        The column's counts for each of `dates`, shape ``(n_dates, n_bins)``.

    Examples
    --------
    >>> dates = [dt.date(2018, 8, day) for day in range(1, 8)]
    >>> str(estimate_onset([500, 500], np.array([[50, 50]] * 4 + [[20, 80]] * 3), dates))
    '2018-08-05'
    """
    expected = np.asarray(reference, dtype=np.float64) + PSEUDO_COUNT
    from_day = np.cumsum(by_day[::-1], axis=0)[::-1]
    rows = np.maximum(from_day.sum(axis=1, keepdims=True), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(from_day > 0, from_day * np.log(from_day / rows / (expected / expected.sum())), 0.0)
    return dates[int(np.argmax(gain.sum(axis=1)))]


@dataclass(frozen=True)
class _ColumnByDay:
    """A column's counts by day: `bins` of shape ``(n_days, n_bins)``, rows `outside` the support ``(n_days,)``."""

    bins: FloatArray
    outside: FloatArray


def _rows(daily: DailyCounts, date: dt.date) -> int:
    return sum(daily[date][SCORE].bins) if date in daily else 0


def _dates(
    daily: DailyCounts, start: dt.date, end: dt.date, *, is_every_day: bool
) -> tuple[list[dt.date], list[dt.date]]:
    """The days to count, and those of the window that one of a window earlier replaces."""
    window = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
    missing = [date for date in window if not _rows(daily, date)]
    if not is_every_day:
        return [date for date in window if date not in missing], []
    return sorted(date - (end - start) if date in missing else date for date in window), missing


def _by_day(daily: DailyCounts, dates: Sequence[dt.date], name: str, bins: int) -> _ColumnByDay:
    empty = ColumnCounts((0,) * bins)
    counts = [daily[date][name] if date in daily else empty for date in dates]
    outside = np.array([count.outside for count in counts], dtype=np.float64)
    return _ColumnByDay(np.array([count.bins for count in counts], dtype=np.float64), outside)


def _worst_first(values: Mapping[str, float], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (-values[name], name)))


def _is_outside(binned: BinnedColumn, column: _ColumnByDay, spec: DriftSpec) -> bool:
    outside, rows = int(column.outside.sum()), int(column.bins.sum())
    if outside <= spec.maximum_outside_share * rows:
        return False
    return outside_probability(outside, rows, binned.outside, sum(binned.counts)) < OUTSIDE_ALPHA


def _outside_onset(binned: BinnedColumn, column: _ColumnByDay, dates: Sequence[dt.date]) -> dt.date:
    reference = [sum(binned.counts) - binned.outside, binned.outside]
    inside = column.bins.sum(axis=1) - column.outside
    return estimate_onset(reference, np.column_stack([inside, column.outside]), dates)


def _no_verdict(rows_by_day: FloatArray, spec: DriftSpec) -> str | None:
    rows, empty = int(rows_by_day.sum()), int((rows_by_day == 0).sum())
    if rows < spec.minimum_rows:
        return f"{rows} decisions, below {spec.minimum_rows}: no verdict"
    if empty:
        return f"{empty} of {len(rows_by_day)} days have no decisions, nor the days one window earlier: no verdict"
    return None


def _replaced(missing: Sequence[dt.date]) -> str:
    if not missing:
        return ""
    return f" (no decisions on {', '.join(map(str, missing))}: replaced by the days one window earlier)"


def _psi_reason(indices: dict[str, float], alarmed: tuple[str, ...], spec: DriftSpec) -> str:
    if not alarmed:
        worst = max(indices, key=indices.__getitem__)
        return f"no column above {spec.maximum_psi}; the highest is {worst} with {indices[worst]:.3f}"
    listed = ", ".join(f"{shown(name)} {indices[name]:.3f}" for name in alarmed)
    return f"PSI above {spec.maximum_psi}: {listed}"


def _outside_reason(shares: dict[str, float], alarmed: tuple[str, ...], spec: DriftSpec) -> str:
    if not alarmed:
        return ""
    listed = ", ".join(f"{shown(name)} {shares[name]:.2%}" for name in alarmed)
    return f"; rows outside the reference's values above {spec.maximum_outside_share:.2%}: {listed}"


def shown(name: str) -> str:
    """A column's name in a sentence."""
    return "the score" if name == SCORE else name
