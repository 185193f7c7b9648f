"""Comparisons between groups: figures counted by hand, and intervals against a bootstrap that copies rows."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from lifecycle.modelling.fairness import group_metrics
from lifecycle.modelling.group_evidence import (
    DecidedRows,
    PartitionEvidence,
    bands_of,
    compare_groups,
    drawn_counts,
    holm,
    intersection,
)
from serving.contract.documents import Bands

BANDS = Bands(review_from=0.3, decline_from=0.6)


def decided(rows: int = 4000, shift: float = 0.0, rows_per_entity: int = 2) -> tuple[DecidedRows, dict[str, Any]]:
    """Rows of a calibrated model; `shift` raises the scores of group ``b`` alone."""
    rng = np.random.default_rng(3)
    entity = rng.integers(rows // rows_per_entity, size=rows)
    is_b = np.random.default_rng(4).random(rows // rows_per_entity)[entity] < 0.4
    chance = rng.beta(1.5, 4, size=rows)
    scores = np.clip(chance + shift * is_b, 0, 1)
    attributes = {"group": np.where(is_b, "b", "a").astype(object), "is_old": entity % 3 == 0}
    return DecidedRows(entity, rng.random(rows) < chance, scores, bands_of(scores, BANDS)), attributes


def compared(rows: DecidedRows, attributes: dict[str, Any], **changes: Any) -> PartitionEvidence:
    arguments: dict[str, Any] = {"minimum_rows": 300, "minimum_events": 30} | changes
    (partition,) = compare_groups(rows, attributes, (("group",),), **arguments)
    return partition


def test_a_score_at_a_threshold_is_in_its_band() -> None:
    assert bands_of(np.array([0.29, 0.3, 0.59, 0.6, 1.0]), BANDS).tolist() == [0, 1, 1, 2, 2]
    assert bands_of(np.array([0.29, 1.0]), Bands(review_from=0.3)).tolist() == [0, 1]
    assert bands_of(np.array([0.29, 1.0]), Bands(review_from=None)).tolist() == [0, 0]


def test_rates_are_those_of_group_metrics_at_both_thresholds() -> None:
    rows, attributes = decided()
    partition = compared(rows, attributes)
    for decision, lowest in (("declined", 2), ("stopped", 1)):
        expected = group_metrics(rows.is_event, rows.bands >= lowest, attributes["group"])
        assert {group.name: group.metrics and group.metrics[decision] for group in partition.groups} == expected


def test_comparisons_are_against_the_group_that_is_treated_best() -> None:
    rows, attributes = decided(shift=0.2)
    partition = compared(rows, attributes)
    metrics = group_metrics(rows.is_event, rows.bands >= 1, attributes["group"])
    found = {(each.decision, each.measure): each for each in partition.comparisons if each.group == "b"}
    ratio = found["stopped", "impact_ratio"]
    assert ratio.reference == "a"
    expected = (1 - metrics["b"]["selection_rate"]) / (1 - metrics["a"]["selection_rate"])
    assert ratio.value.value == pytest.approx(expected, abs=1e-12)
    difference = found["stopped", "opportunity_difference"].value.value
    assert difference == pytest.approx(metrics["b"]["fpr"] - metrics["a"]["fpr"], abs=1e-12)
    of_b = attributes["group"] == "b"
    calibration = rows.is_event[of_b].sum() / rows.scores[of_b].sum()
    overall = rows.is_event.sum() / rows.scores.sum()
    shift = found["score", "calibration_shift"].value
    assert shift.value == pytest.approx(calibration / overall - 1, abs=1e-12)
    assert shift.low < shift.value < shift.high < 0
    assert all(found[decision, "impact_ratio"].p_value < 1e-6 for decision in ("declined", "stopped"))


def test_intervals_are_those_of_a_bootstrap_that_copies_the_rows_of_entities() -> None:
    rows, attributes = decided(rows=3000, shift=0.05, rows_per_entity=5)
    found = next(
        each.value
        for each in compared(rows, attributes, draws=2000).comparisons
        if (each.decision, each.measure) == ("stopped", "impact_ratio")
    )
    rng, of_b, approved = np.random.default_rng(11), attributes["group"] == "b", rows.bands < 1
    of_entity = [np.flatnonzero(rows.entity == entity) for entity in np.unique(rows.entity)]
    ratios = []
    for _ in range(1000):
        drawn = np.concatenate([of_entity[index] for index in rng.integers(len(of_entity), size=len(of_entity))])
        ratios.append(approved[drawn][of_b[drawn]].mean() / approved[drawn][~of_b[drawn]].mean())
    low, high = np.quantile(ratios, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_the_same_seed_draws_the_same_and_draw_0_is_the_rows_themselves() -> None:
    rows, attributes = decided(rows=600)
    codes = (attributes["group"] == "b").astype(np.int64)
    drawn = drawn_counts(rows, codes, 2, 50, 1)
    assert (drawn == drawn_counts(rows, codes, 2, 50, 1)).all()
    assert (drawn != drawn_counts(rows, codes, 2, 50, 2)).any()
    for group in (0, 1):
        for event in (0, 1):
            mask = (codes == group) & (rows.is_event == event)
            assert drawn[0, group, event].tolist() == np.bincount(rows.bands[mask], minlength=3).tolist()


def test_a_small_group_has_no_rates_and_is_no_reference() -> None:
    rows, attributes = decided()
    attributes["group"][:200] = "c"
    partition = compared(rows, attributes)
    small = {group.name: group for group in partition.groups}["c"]
    assert (small.rows, small.metrics, small.is_judged) == (200, None, False)
    assert small.events == rows.is_event[:200].sum()
    assert "c" not in {name for each in partition.comparisons for name in (each.group, each.reference)}
    too_few_events = compared(rows, attributes, minimum_rows=1, minimum_events=int(small.events) + 1)
    assert not {group.name: group for group in too_few_events.groups}["c"].is_judged


def test_rows_without_an_attribute_are_counted_and_in_no_group() -> None:
    rows, attributes = decided()
    attributes["group"][:100] = None
    partition = compared(rows, attributes)
    assert partition.missing_rows == 100
    assert sum(group.rows for group in partition.groups) == len(rows.entity) - 100
    (joint,) = compare_groups(rows, attributes, (("group", "is_old"),), minimum_rows=1, minimum_events=1, draws=10)
    assert [group.name for group in joint.groups] == ["a × False", "a × True", "b × False", "b × True"]
    assert joint.missing_rows == 100


def test_an_intersection_without_its_attribute_has_no_group() -> None:
    attributes = {"sex": np.array(["f", "m", None, "f"], dtype=object), "age": np.array([1, 2, 1, None], dtype=object)}
    codes, names = intersection(attributes, ("sex", "age"))
    assert names == ["f × 1", "m × 2", None]
    assert codes.tolist() == [0, 1, 2, 2]


def test_the_champion_is_compared_on_the_rows_that_it_has_not_seen() -> None:
    rows, attributes = decided(shift=0.2)
    fair, _ = decided()
    champion = np.where(np.arange(len(rows.entity)) < 1000, -1, fair.bands)
    partition = compared(dataclasses.replace(rows, champion_bands=champion), attributes)
    found = {(each.decision, each.measure): each.difference for each in partition.champion}
    unseen = slice(1000, None)

    def worst(bands: Any) -> float:
        metrics = group_metrics(rows.is_event[unseen], bands[unseen] >= 1, attributes["group"][unseen])
        rates = [1 - of_group["selection_rate"] for of_group in metrics.values()]
        return min(rates) / max(rates)

    difference = found["stopped", "impact_ratio"]
    assert difference.value == pytest.approx(worst(rows.bands) - worst(fair.bands), abs=1e-12)
    assert difference.high < 0
    same = compared(dataclasses.replace(rows, champion_bands=rows.bands), attributes)
    assert {(each.difference.low, each.difference.high) for each in same.champion} == {(0.0, 0.0)}


def test_holm_is_that_of_statsmodels() -> None:
    p_values = np.random.default_rng(5).random(20).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)
    assert holm([]) == []
