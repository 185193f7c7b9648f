"""The page of one day's monitoring, for people: its verdict, its numbers, and the bins that it compared.

Every number on the page is the verdict's own. Evidently's page is a page of its own, labelled as an illustration.
"""

import itertools
import math
from dataclasses import dataclass

from lifecycle.modelling.reference import SCORE, BinnedColumn
from lifecycle.monitoring.standing import OUTSIDE
from lifecycle.monitoring.traffic import ChampionInForce
from lifecycle.monitoring.verdict import MonitoringVerdict
from lifecycle.reports.pages import page
from lifecycle.spec.risk_model import RiskModelSpec

TEMPLATE = "drift_report.html.j2"
NOT_LISTED = "not listed"
"""Bin of values that are not among a feature's categories."""
CHART_WIDTH, CHART_HEIGHT = 320.0, 90.0


@dataclass(frozen=True)
class Illustration:
    """Evidently's page: its file name in the same folder, and the rows of its sample; or why it is missing."""

    file: str | None
    rows: int
    reason: str = ""


def drift_page(
    spec: RiskModelSpec, champion: ChampionInForce, verdict: MonitoringVerdict, illustration: Illustration
) -> str:
    """The page of a verdict, from the verdict and the champion's frozen reference alone."""
    return page(
        TEMPLATE,
        spec=spec,
        reference=champion.reference,
        verdict=verdict,
        traffic=verdict.traffic,
        state="alarm" if verdict.is_alarm else "quiet" if verdict.traffic.has_verdict else "no verdict",
        reference_rows=sum(champion.reference.columns[SCORE].counts),
        columns=[_column(spec, champion, verdict, name) for name in _worst_first(verdict)],
        illustration=illustration,
    )


@dataclass(frozen=True)
class _Bar:
    """One bin of a chart: the heights of the two bars in pixels, and its text."""

    x: float
    width: float
    reference: float
    window: float
    text: str


@dataclass(frozen=True)
class _Column:
    """One column of the page."""

    name: str
    psi: float
    outside: float
    findings: tuple[str, ...]
    bars: tuple[_Bar, ...]


def _worst_first(verdict: MonitoringVerdict) -> list[str]:
    alarmed = {*verdict.traffic.alarmed, *verdict.traffic.outside_alarmed}
    return sorted(verdict.traffic.psi, key=lambda name: (name not in alarmed, -verdict.traffic.psi[name], name))


def _column(spec: RiskModelSpec, champion: ChampionInForce, verdict: MonitoringVerdict, name: str) -> _Column:
    traffic, binned = verdict.traffic, champion.reference.columns[name]
    findings = [
        finding.text
        for finding in (verdict.standing.findings if verdict.standing else ())
        if finding.subject in {name, name + OUTSIDE}
    ]
    counts = traffic.counts.get(name, ())
    bars = _bars(binned, counts, _labels(spec, name, binned)) if len(counts) == len(binned.counts) else ()
    return _Column(name, traffic.psi[name], traffic.outside.get(name, 0.0), tuple(findings), bars)


def _labels(spec: RiskModelSpec, name: str, binned: BinnedColumn) -> list[str]:
    """What each bin holds; the last one holds the missing values."""
    categories = next((feature.categories for feature in spec.features if feature.name == name), None)
    if categories:
        names = [*categories, NOT_LISTED][: len(binned.counts) - 1]
        return [*names, "missing"]
    edges = [f"{edge:.4g}" for edge in binned.edges]
    if not edges:
        return ["all values", "missing"]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return [f"up to {edges[0]}", *between, f"above {edges[-1]}", "missing"]


def _bars(binned: BinnedColumn, counts: tuple[int, ...], labels: list[str]) -> tuple[_Bar, ...]:
    shares = [
        (one / sum(binned.counts), two / max(sum(counts), 1)) for one, two in zip(binned.counts, counts, strict=True)
    ]
    shown = [pair for pair in zip(shares, labels, strict=True) if any(pair[0])]
    # The square root keeps a bin of one row in a hundred visible beside one of nine in ten.
    scale = CHART_HEIGHT / math.sqrt(max(max(pair) for pair, _ in shown))
    width = CHART_WIDTH / len(shown)
    return tuple(
        _Bar(
            round(at * width, 1), round(width, 1), round(scale * math.sqrt(one), 1), round(scale * math.sqrt(two), 1),
            f"{label}: {one:.2%} of the training traffic, {two:.2%} of the window",
        )
        for at, ((one, two), label) in enumerate(shown)
    )  # fmt: skip
