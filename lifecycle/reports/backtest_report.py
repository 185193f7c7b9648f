"""A backtest for people: its rows as text, as Markdown and as one HTML page with its plot."""

import base64
from dataclasses import dataclass

from lifecycle.artefacts.backtests import Backtest, RecipeResult, Row
from lifecycle.gates.outcomes import WORDS, overall, overall_text
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import SCORE
from lifecycle.reports.backtest_plot import backtest_plot
from lifecycle.reports.pages import page
from serving.contract.documents import Outcome

TEMPLATE = "backtest_report.html.j2"
PLOT = "metric_and_drift"


@dataclass(frozen=True)
class BacktestLine:
    """One date's cells: texts, and the outcome of all gates, ``None`` without a result."""

    as_of: str
    outcome: Outcome | None
    gates: str
    metric: str
    baseline: str
    against: str
    difference: str
    drift: str
    seconds: str


def header(backtest: Backtest) -> list[str]:
    """Names of the columns; those of the other model only where there is one."""
    metric = backtest.metric.replace("_", " ")
    against = [f"{metric} of {backtest.against}", "difference"] if backtest.against else []
    return ["as of", "gates", metric, "above baseline", *against, "drift since the date before", "s"]


def cells(backtest: Backtest, line: BacktestLine) -> list[str]:
    """A line's cells in the order of the header."""
    against = [line.against, line.difference] if backtest.against else []
    return [line.as_of, line.gates, line.metric, line.baseline, *against, line.drift, line.seconds]


def lines(backtest: Backtest) -> list[BacktestLine]:
    """A line for each date."""
    return [_line(backtest, row) for row in backtest.rows]


def summary(backtest: Backtest) -> str:
    """The backtest in a sentence."""
    results = backtest.results
    passed = sum(not result.ours.refusals for result in results)
    empty = len(backtest.rows) - len(results)
    parts = [f"{passed} of {len(results)} dates passed every gate"]
    parts += [f"{empty} could not be computed"] if empty else []
    parts += [f"{backtest.taken_over} taken over from an earlier run"] if backtest.taken_over else []
    return f"{', '.join(parts)}; {backtest.seconds:.1f} s with {backtest.jobs} processes side by side"


def reasons(backtest: Backtest) -> list[str]:
    """Why a date has no result, a sentence for each."""
    return [f"{row.as_of} was not computed: {row.reason}" for row in backtest.rows if row.result is None]


def markdown(backtest: Backtest) -> str:
    """The table in Markdown, and below it why a date has no result."""
    names = header(backtest)
    rows = [names, ["---"] * len(names), *(cells(backtest, line) for line in lines(backtest))]
    table = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows)
    return "\n\n".join([table, *reasons(backtest)])


def backtest_page(backtest: Backtest) -> str:
    """The table and the plot as one self-contained page."""
    return page(
        TEMPLATE,
        backtest=backtest,
        header=header(backtest),
        words=WORDS,
        lines=[(line, cells(backtest, line)) for line in lines(backtest)],
        summary=summary(backtest),
        plot=base64.b64encode(backtest_plot(backtest)).decode(),
        reasons=reasons(backtest),
        verdicts=[
            (result.as_of, name, recipe.verdicts)
            for result in backtest.results
            for name, recipe in ((backtest.model, result.ours), (backtest.against, result.against))
            if recipe is not None
        ],
        metrics=[
            (result.as_of, [interval_text(interval) for interval in result.ours.metrics.values()])
            for result in backtest.results
        ],
        metric_names=[name.replace("_", " ") for name in backtest.results[0].ours.metrics] if backtest.results else [],
    )


def interval_text(interval: Interval) -> str:
    """A value with its interval."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def difference_text(interval: Interval) -> str:
    """A difference with its interval."""
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _line(backtest: Backtest, row: Row) -> BacktestLine:
    result, metric = row.result, backtest.metric
    if result is None:
        return BacktestLine(row.as_of.isoformat(), None, "not computed", *[""] * 6)
    return BacktestLine(
        as_of=result.as_of,
        outcome=overall(result.ours.verdicts),
        gates=gates_text(result.ours),
        metric=interval_text(result.ours.metrics[metric]),
        baseline=difference_text(result.ours.baseline_difference[metric]),
        against=_against(result.against, metric),
        difference=difference_text(result.difference[metric]) if result.difference else "",
        drift=_drift(row),
        seconds="taken over" if row.is_taken_over else f"{result.seconds:.1f}",
    )


def gates_text(recipe: RecipeResult) -> str:
    """What the gates said."""
    return overall_text(recipe.verdicts)


def _against(recipe: RecipeResult | None, metric: str) -> str:
    if recipe is None:
        return ""
    return f"{interval_text(recipe.metrics[metric])}, {gates_text(recipe)}"


def _drift(row: Row) -> str:
    """PSI of the score, and of the feature that moved most."""
    if row.drift is None:
        return ""
    features = {name: value for name, value in row.drift.psi.items() if name != SCORE}
    worst = max(features, key=features.__getitem__)
    return f"score {row.drift.psi[SCORE]:.3f}, {worst} {features[worst]:.3f}"
