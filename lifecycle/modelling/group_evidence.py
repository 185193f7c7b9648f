"""A holdout's decisions compared between groups, with intervals over draws of entities.

A bootstrap draw says how often each entity was drawn. Entities of one group with the same counts are exchangeable, so
that a draw is one multinomial over the distinct patterns of counts: exact, and a thousand draws of 100,000 entities
take as long as their few patterns.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.fairness import Group, GroupMetrics, group_codes, metrics_of_counts
from lifecycle.tables.arrays import AnyArray, BoolArray, FloatArray, IntArray
from serving.contract.documents import Bands

APPROVED, REVIEWED, DECLINED = 0, 1, 2
BANDS = 3
DECISIONS = {"declined": DECLINED, "stopped": REVIEWED}
"""Adverse decisions and the lowest band of each: *stopped* is reviewed or declined."""
DRAWS = 1000
SEED = 20180401
Measure = str
"""``impact_ratio``, ``opportunity_difference`` or ``calibration_shift``."""


@dataclass(frozen=True)
class DecidedRows:
    """A window's rows as a model decided them; every array of shape ``(n,)``."""

    entity: IntArray
    """Number of the entity, from 0."""
    is_event: BoolArray
    scores: FloatArray
    bands: IntArray
    champion_bands: IntArray | None = None
    """The champion's decisions on the same rows; -1 where it was fitted on the row."""


@dataclass(frozen=True)
class GroupFigures:
    """One group of one partition. `metrics` by decision and `calibration` are ``None`` if the group is too small."""

    name: str
    rows: int
    events: int
    metrics: dict[str, GroupMetrics] | None
    calibration: float | None
    """Events through expected events."""

    @property
    def is_judged(self) -> bool:
        """Whether the group is large enough."""
        return self.metrics is not None


@dataclass(frozen=True)
class GroupComparison:
    """A group against another, or against all rows: a disparity, its interval, and the p-value of no difference."""

    partition: str
    group: str
    reference: str
    decision: str
    measure: Measure
    value: Interval
    p_value: float


@dataclass(frozen=True)
class ChampionDifference:
    """The worst disparity of a partition, candidate minus champion on the same rows; above 0 is fairer.

    `p_value` is the two-sided one of no difference.
    """

    partition: str
    decision: str
    measure: Measure
    difference: Interval
    p_value: float


@dataclass(frozen=True)
class PartitionEvidence:
    """The groups of one attribute or intersection."""

    name: str
    rows: int
    missing_rows: int
    groups: tuple[GroupFigures, ...]
    comparisons: tuple[GroupComparison, ...]
    champion: tuple[ChampionDifference, ...] = ()


def bands_of(scores: FloatArray, bands: Bands) -> IntArray:
    """The band of each score: 0 approved, 1 reviewed, 2 declined."""
    reviewed = scores >= (math.inf if bands.review_from is None else bands.review_from)
    declined = scores >= (math.inf if bands.decline_from is None else bands.decline_from)
    return np.where(declined, DECLINED, np.where(reviewed, REVIEWED, APPROVED)).astype(np.int64)


def intersection(attributes: Mapping[str, AnyArray], columns: tuple[str, ...]) -> tuple[IntArray, list[Group]]:
    """The groups of one or more attributes; a row that lacks one of them has no group (``None``)."""
    coded = [group_codes(attributes[column]) for column in columns]
    if len(coded) == 1:
        return coded[0]
    joint = np.stack([codes for codes, _ in coded])
    unique, codes = np.unique(joint, axis=1, return_inverse=True)
    names: list[Group] = []
    for combination in unique.T:
        parts = [names_of[code] for code, (_, names_of) in zip(combination, coded, strict=True)]
        names.append(None if None in parts else " × ".join(map(str, parts)))
    known = [name for name in names if name is not None]
    numbers = {name: number for number, name in enumerate(known)} | {None: len(known)}
    has_missing = len(known) < len(names)
    ranks = np.array([numbers[name if name is None else str(name)] for name in names])
    return ranks[codes.reshape(-1)], [*known, *([None] if has_missing else [])]


def compare_groups(
    rows: DecidedRows,
    attributes: Mapping[str, AnyArray],
    partitions: tuple[tuple[str, ...], ...],
    *,
    minimum_rows: int,
    minimum_events: int,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[PartitionEvidence, ...]:
    """The groups of each partition and how far their decisions lie apart.

    A group's favourable rate is compared with that of the judged group with the highest one, its false positive rate
    with that of the judged group with the lowest one, its calibration with that of all rows.

    Parameters
    ----------
    attributes
        A value or ``None`` for each row, by column.
    partitions
        The columns of each partition: one for an attribute, more for an intersection.
    """
    return tuple(
        _partition(
            rows, " × ".join(columns), *intersection(attributes, columns), (minimum_rows, minimum_events), confidence,
            draws, seed,
        )
        for columns in partitions
    )  # fmt: skip


def _partition(
    rows: DecidedRows,
    name: str,
    codes: IntArray,
    names: list[Group],
    minimums: tuple[int, int],
    confidence: float,
    draws: int,
    seed: int,
) -> PartitionEvidence:
    known = [str(group) for group in names if group is not None]
    counts = drawn_counts(rows, codes, len(names), draws, seed)[:, : len(known)]
    sizes = counts[0].sum(axis=-1)
    judged = [
        number for number in range(len(known)) if sizes[number].sum() >= minimums[0] and sizes[number, 1] >= minimums[1]
    ]
    calibrations = {number: _calibration(rows, codes == number) for number in judged}
    groups = tuple(
        GroupFigures(
            name=group,
            rows=int(sizes[number].sum()),
            events=int(sizes[number, 1]),
            metrics=_metrics(counts[0, number]) if number in judged else None,
            calibration=calibrations[number][0] if number in judged else None,
        )
        for number, group in enumerate(known)
    )
    comparisons = [
        GroupComparison(name, known[number], reference, decision, measure, value, p_value)
        for number, reference, decision, measure, value, p_value in _comparisons(counts, judged, known, confidence)
    ]
    comparisons += [
        GroupComparison(name, known[number], "all rows", "score", "calibration_shift", *found)
        for number in judged
        if (found := _calibration_shift(rows, codes == number, confidence)) is not None
    ]
    return PartitionEvidence(
        name=name,
        rows=len(codes),
        missing_rows=int((codes == len(known)).sum()) if len(known) < len(names) else 0,
        groups=groups,
        comparisons=tuple(comparisons),
        champion=tuple(_against_champion(rows, name, codes, judged, len(names), confidence, draws, seed)),
    )


def drawn_counts(rows: DecidedRows, codes: IntArray, groups: int, draws: int, seed: int) -> IntArray:
    """Rows by draw, group, event and band, shape ``(draws + 1, groups, 2, bands)``; draw 0 takes each entity once."""
    cells = rows.is_event.astype(np.int64) * BANDS + rows.bands
    return _drawn(rows.entity, codes, cells, groups, BANDS, draws, seed)


def _drawn(
    entity: IntArray, codes: IntArray, cells: IntArray, groups: int, bands: int, draws: int, seed: int
) -> IntArray:
    width = groups * 2 * bands
    _, entities = np.unique(entity, return_inverse=True)
    keys, counts = np.unique(entities.reshape(-1) * width + codes * 2 * bands + cells, return_counts=True)
    patterns, multiplicities = _patterns(keys // width, keys % width, counts)
    total = int(multiplicities.sum())
    random = np.random.default_rng(seed)
    drawn = random.multinomial(total, multiplicities / total, size=draws)
    weights = np.vstack([multiplicities, drawn])
    result = np.zeros((draws + 1, width), dtype=np.int64)
    for pattern, weight in zip(patterns, weights.T, strict=True):
        for cell, count in pattern:
            result[:, cell] += weight * count
    return result.reshape(draws + 1, groups, 2, bands)


def _patterns(
    entities: IntArray, cells: IntArray, counts: IntArray
) -> tuple[list[tuple[tuple[int, int], ...]], IntArray]:
    """Distinct lists of cells and counts that an entity has, and how many entities have each."""
    found: dict[tuple[tuple[int, int], ...], int] = {}
    starts = np.flatnonzero(np.diff(entities, prepend=-1)).tolist()
    pairs = list(zip(cells.tolist(), counts.tolist(), strict=True))
    for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        pattern = tuple(pairs[start:end])
        found[pattern] = found.get(pattern, 0) + 1
    return list(found), np.array(list(found.values()), dtype=np.int64)


def _metrics(counts: IntArray) -> dict[str, GroupMetrics]:
    """Rates of one group by decision, from its counts of shape ``(2, bands)``."""
    return {
        decision: metrics_of_counts(
            int(counts[0, :lowest].sum()), int(counts[0, lowest:].sum()), int(counts[1, :lowest].sum()),
            int(counts[1, lowest:].sum()),
        )
        for decision, lowest in DECISIONS.items()
    }  # fmt: skip


def _favourable(counts: IntArray, lowest: int) -> FloatArray:
    """Rate of decisions below `lowest` by draw and group."""
    return _ratio(counts[..., :lowest].sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def _false_positive_rate(counts: IntArray, lowest: int) -> FloatArray:
    return _ratio(counts[..., 0, lowest:].sum(axis=-1), counts[..., 0, :].sum(axis=-1))


def _ratio(part: AnyArray, whole: AnyArray) -> FloatArray:
    """``part / whole``, ``NaN`` where there is nothing to divide by."""
    shares: FloatArray = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return shares


def _comparisons(
    counts: IntArray, judged: list[int], names: list[str], confidence: float
) -> Iterator[tuple[int, str, str, Measure, Interval, float]]:
    if len(judged) < 2:
        return
    for decision, lowest in DECISIONS.items():
        favourable, false_positive = _favourable(counts, lowest), _false_positive_rate(counts, lowest)
        best = max(judged, key=lambda number: favourable[0, number])
        least = min(judged, key=lambda number: false_positive[0, number])
        for number in judged:
            if number != best:
                ratio = _ratio(favourable[:, number], favourable[:, best])
                yield number, names[best], decision, "impact_ratio", *_interval(ratio, 1.0, confidence)
            if number != least:
                difference = false_positive[:, number] - false_positive[:, least]
                yield number, names[least], decision, "opportunity_difference", *_interval(difference, 0, confidence)


def _against_champion(
    rows: DecidedRows,
    name: str,
    codes: IntArray,
    judged: list[int],
    groups: int,
    confidence: float,
    draws: int,
    seed: int,
) -> Iterator[ChampionDifference]:
    """The worst disparities of both models on the rows that the champion has not seen, over the same draws."""
    if rows.champion_bands is None or len(judged) < 2:
        return
    unseen = rows.champion_bands >= 0
    if not unseen.any():
        return
    bands = rows.bands[unseen] * BANDS + rows.champion_bands[unseen]
    cells = rows.is_event[unseen].astype(np.int64) * BANDS**2 + bands
    counts = _drawn(rows.entity[unseen], codes[unseen], cells, groups, BANDS**2, draws, seed)[:, judged]
    joint = counts.reshape(*counts.shape[:-1], BANDS, BANDS)
    ours, theirs = joint.sum(axis=-1), joint.sum(axis=-2)
    for decision, lowest in DECISIONS.items():
        for measure, worst in (("impact_ratio", _worst_ratio), ("opportunity_difference", _worst_difference)):
            found, p_value = _interval(worst(ours, lowest) - worst(theirs, lowest), 0, confidence)
            yield ChampionDifference(name, decision, measure, found, p_value)


def _worst_ratio(counts: IntArray, lowest: int) -> FloatArray:
    rates = _favourable(counts, lowest)
    return _ratio(rates.min(axis=-1), rates.max(axis=-1))


def _worst_difference(counts: IntArray, lowest: int) -> FloatArray:
    """Negative, so that more is fairer."""
    rates = _false_positive_rate(counts, lowest)
    return np.asarray(rates.min(axis=-1) - rates.max(axis=-1))


def _interval(drawn: FloatArray, neutral: float, confidence: float) -> tuple[Interval, float]:
    """Value of draw 0 with the percentile interval, and the two-sided p-value of `neutral` by the draws' spread."""
    value, of_draws = float(drawn[0]), drawn[1:][np.isfinite(drawn[1:])]
    if not len(of_draws):
        return Interval(value, math.nan, math.nan), 1.0
    low, high = np.quantile(of_draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high)), two_sided(value - neutral, float(of_draws.std()))


def two_sided(difference: float, deviation: float) -> float:
    """P-value of a normal difference; 1 without a difference, 0 for one without any spread."""
    if difference == 0 or math.isnan(difference):
        return 1.0
    return math.erfc(abs(difference) / deviation / math.sqrt(2)) if deviation else 0.0


def _calibration(rows: DecidedRows, mask: BoolArray) -> tuple[float, float]:
    """Events through expected events, and the expected ones."""
    expected = float(rows.scores[mask].sum())
    return (float(rows.is_event[mask].sum()) / expected if expected else math.nan), expected


def _calibration_shift(rows: DecidedRows, mask: BoolArray, confidence: float) -> tuple[Interval, float] | None:
    """A group's calibration through that of all rows, minus 1; its deviation is linearised by entity.

    Ratio estimator of Cochran, Sampling Techniques (1977), chapter 6, with entities as the sampled units.
    """
    ratio, expected = _calibration(rows, mask)
    overall, overall_expected = _calibration(rows, np.ones(len(mask), dtype=np.bool_))
    if not (ratio > 0 and overall > 0):
        return None
    residual = rows.is_event - overall * rows.scores
    within = (rows.is_event - ratio * rows.scores) * mask / (ratio * expected)
    influence = np.bincount(rows.entity, weights=within - residual / (overall * overall_expected))
    deviation = math.sqrt(float((influence**2).sum()))
    shift = math.log(ratio / overall)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * deviation
    value = Interval(math.expm1(shift), math.expm1(shift - reach), math.expm1(shift + reach))
    return value, two_sided(shift, deviation)


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted so that the chance of any false finding is bounded: Holm (1979).

    Examples
    --------
    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, position in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted
