"""Values outside the reference's support are an alarm for columns of every shape, and unchanged traffic is none."""

import datetime as dt
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from lifecycle.modelling.reference import SCORE, ColumnCounts, Reference, count, freeze
from lifecycle.monitoring.drift import OUTSIDE_ALPHA, DriftVerdict, judge_drift
from lifecycle.spec.monitoring import DriftSpec
from lifecycle.tables.arrays import FloatArray

SPEC = DriftSpec()
END = dt.date(2018, 8, 29)
DATES = [END - dt.timedelta(days=back) for back in range(7, 0, -1)]
REFERENCE_ROWS, ROWS_A_DAY = 12_000, 400
Draw = Callable[[np.random.Generator, int], FloatArray]


def zero_inflated(generator: np.random.Generator, rows: int) -> FloatArray:
    """Zero in 19 of 20 rows: nearly all quantiles are 0."""
    return np.where(generator.random(rows) < 0.95, 0.0, 5 + generator.lognormal(1, 1, rows))


def with_nulls(generator: np.random.Generator, rows: int) -> FloatArray:
    return np.where(generator.random(rows) < 0.1, np.nan, generator.normal(size=rows))


def two_groups(generator: np.random.Generator, rows: int) -> FloatArray:
    return np.where(generator.random(rows) < 0.55, 0.0, 20.0) + generator.normal(size=rows)


SHAPES: dict[str, tuple[Draw, int | None]] = {
    "constant": (lambda _, rows: np.full(rows, 3.0), None),
    "two values": (lambda g, rows: (g.random(rows) < 0.3).astype(np.float64), None),
    "a rare value": (lambda g, rows: (g.random(rows) < 0.002).astype(np.float64), None),
    "few values": (lambda g, rows: g.integers(1, 8, rows).astype(np.float64), None),
    "counts": (lambda g, rows: g.poisson(12, rows).astype(np.float64), None),
    "zero-inflated": (zero_inflated, None),
    "smooth": (lambda g, rows: g.normal(size=rows), None),
    "bounded": (lambda g, rows: g.random(rows), None),
    "heavy tail": (lambda g, rows: g.lognormal(3, 2, rows), None),
    "heaviest tails": (lambda g, rows: g.standard_cauchy(rows), None),
    "two groups": (two_groups, None),
    "nulls": (with_nulls, None),
    "only nulls": (lambda _, rows: np.full(rows, np.nan), None),
    "category": (lambda g, rows: g.integers(0, 3, rows).astype(np.float64), 5),
}


def frozen(name: str, seed: int) -> Reference:
    """The reference of four weeks of one column."""
    draw, categories = SHAPES[name]
    generator = np.random.default_rng(seed)
    blocks = np.arange(REFERENCE_ROWS) * 4 // REFERENCE_ROWS
    binned = freeze(draw(generator, REFERENCE_ROWS), 10, categories, blocks)
    return Reference({"x": binned, SCORE: freeze(generator.random(REFERENCE_ROWS), 10, blocks=blocks)}, "a", "b")


def verdict(reference: Reference, column: FloatArray) -> DriftVerdict:
    """The verdict on a week of the column's rows."""
    daily: dict[dt.date, dict[str, ColumnCounts]] = {}
    for date, values in zip(DATES, np.split(column, 7), strict=True):
        daily[date] = count(reference, {"x": values, SCORE: np.linspace(0.01, 0.99, len(values))})
    return judge_drift(reference, daily, END, SPEC, bundle_digest="b")


def outside_values(name: str, reference: Reference) -> list[float]:
    """One value in each gap of the support, one on each side of it, and null where there was none."""
    binned = reference.columns["x"]
    support = binned.support or ()
    gaps = itertools.pairwise(support)
    values = [(one[1] + two[0]) / 2 for one, two in gaps if np.nextafter(one[1], np.inf) < two[0]]
    if support:
        values += [support[0][0] - 1, support[-1][1] + 1, np.inf]
    else:
        values += [0.0]
    return values if binned.counts[-1] else [*values, float("nan")]


@given(name=st.sampled_from(sorted(SHAPES)), seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=50, deadline=None)
def test_one_row_of_a_hundred_outside_the_support_alarms_whatever_the_shape(
    name: str, seed: int, data: st.DataObject
) -> None:
    reference = frozen(name, seed)
    column = SHAPES[name][0](np.random.default_rng(seed + 1), 7 * ROWS_A_DAY)
    value = data.draw(st.sampled_from(outside_values(name, reference)))
    column[::100] = value
    judged = verdict(reference, column)
    assert judged.is_alarm
    assert "x" in (*judged.outside_alarmed, *judged.alarmed)
    assert judged.outside["x"] >= 0.01
    assert judged.onset == DATES[0].isoformat()
    assert "x" in judged.reason


@pytest.mark.parametrize("name", ["constant", "zero-inflated", "smooth", "category"])
def test_the_first_day_outside_is_the_onset(name: str) -> None:
    reference = frozen(name, 1)
    column = SHAPES[name][0](np.random.default_rng(2), 7 * ROWS_A_DAY)
    column[4 * ROWS_A_DAY :: 50] = -7.0
    judged = verdict(reference, column)
    assert (judged.outside_alarmed, judged.onset) == (("x",), DATES[4].isoformat())
    assert judged.reason.endswith(f"; rows outside the reference's values above 0.50%: x {judged.outside['x']:.2%}")


def test_a_share_within_the_tolerance_is_shown_and_alarms_nothing() -> None:
    column = np.full(7 * ROWS_A_DAY, 3.0)
    column[: int(0.005 * len(column))] = 4.0
    judged = verdict(frozen("constant", 1), column)
    assert (judged.is_alarm, judged.outside_alarmed) == (False, ())
    assert judged.outside == {"x": pytest.approx(0.005)}


def test_a_reference_without_support_is_judged_by_its_bins_alone() -> None:
    reference = frozen("smooth", 1)
    binned = reference.columns["x"]
    old = Reference({**reference.columns, "x": type(binned)(binned.edges, binned.counts)}, "a", "b")
    judged = verdict(old, np.full(7 * ROWS_A_DAY, 50.0))
    assert (judged.alarmed, judged.outside_alarmed) == (("x",), ())


@pytest.mark.parametrize("weeks_of_a_shape", [2, pytest.param(60, marks=pytest.mark.long)])
def test_unchanged_traffic_alarms_no_more_often_than_stated(weeks_of_a_shape: int) -> None:
    """At most one false alarm in 3,000 columns and weeks, by a binomial test at 5 %; the check states far fewer."""
    weeks, alarms = 0, []
    for name, (draw, _) in SHAPES.items():
        for seed in range(weeks_of_a_shape):
            judged = verdict(frozen(name, seed), draw(np.random.default_rng(10_000 + seed), 7 * ROWS_A_DAY))
            weeks += 1
            alarms += [(name, seed)] * judged.is_alarm
    assert binom.sf(len(alarms) - 1, weeks, 1 / 3000) > 0.05, alarms
    assert OUTSIDE_ALPHA * weeks < 0.001
