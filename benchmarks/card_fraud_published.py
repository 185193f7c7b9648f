"""The platform's card fraud model against what the Fraud Detection Handbook publishes, on the handbook's own folds.

Loads the handbook's transactions into an installation of its own, builds the features, searches hyperparameters on
folds whose outcomes were known before the first test, fits and ranks each test. All of it by the platform's code.

python -m benchmarks.card_fraud_published --transactions transactions.parquet
"""

import datetime as dt
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.handbook_folds import DELAY_DAYS, FOLD_DAYS, BookFold, cut, require_earlier
from benchmarks.handbook_metrics import Interval, Metrics, Ranked, mean_and_deviation, mean_draws, paired_difference
from benchmarks.handbook_report import PUBLISHED, print_report
from lifecycle.errors import LifecycleError
from lifecycle.modelling.fitting import FitRows, fit, margins
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.search import FoldRows, SearchResult, search
from lifecycle.modelling.training_set import Examples, examples_from_table, labels
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.training import SearchSpec
from lifecycle.tables.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rich.progress import Progress

TESTED = "2018-07-25,2018-08-01,2018-08-08,2018-08-15"
SEARCHED = "2018-06-20,2018-06-27,2018-07-04,2018-07-11"
TRIALS = 24
BOOK_FEATURES = (
    "amount",
    "is_weekend",
    "is_night",
    *(f"customer_{of}_{days}d" for days in (1, 7, 30) for of in ("tx_count", "mean_amount")),
    *(f"terminal_{of}_{days}d" for days in (1, 7, 30) for of in ("tx_count", "fraud_share")),
)
FOREST = {"n_estimators": 100, "max_depth": 20, "random_state": 0}
"""The handbook's random forest in its model selection (chapter 5)."""


@dataclass(frozen=True)
class Row:
    """One model on all tested folds."""

    name: str
    features: tuple[str, ...]
    folds: tuple[Metrics, ...]
    mean: Metrics
    deviation: Metrics
    draws: FloatArray
    search: SearchResult | None = None


class Comparison:
    """The folds of one set of examples, and the models that are fitted and ranked on them."""

    def __init__(
        self, spec: RiskModelSpec, examples: Examples, searched: list[dt.date], tested: list[dt.date], bars: "Progress"
    ) -> None:
        self._spec, self._examples, self._bars = spec, examples, bars
        self.is_fraud: BoolArray = ~np.isnat(examples.known_at)
        self._all_outcomes = Outcomes(examples.occurred_at, examples.entity, examples.amount, self.is_fraud)
        self.searched = [self._cut(start) for start in searched]
        self.tested = [self._cut(start) for start in tested]
        require_earlier(self.searched, self.tested)

    def ours(self, name: str, names: tuple[str, ...], settings: SearchSpec) -> Row:
        """Search on the earlier folds, then fit and rank each tested one."""
        by_name = {feature.name: feature for feature in self._spec.features}
        schema = tuple(by_name[name] for name in names)
        known_at = min(fold.test_start for fold in self.tested)
        folds = [
            FoldRows(
                self._fit_rows(fold.train, names, fold.test_start),
                self._fit_rows(fold.test, names, known_at),
            )
            for fold in self.searched
        ]
        bar = self._bars.add_task(f"{name}: search", total=settings.trials)
        found = search(folds, schema, settings, lambda _stage, done, _total: self._bars.update(bar, completed=done))

        def fitted(fold: BookFold) -> FloatArray:
            rows = self._fit_rows(fold.train, names, fold.test_start)
            best = found.chosen
            text = fit(rows, schema, best.parameters, best.rounds, seed=settings.seed, num_threads=settings.num_threads)
            return margins(text, self._features(fold.test, names))

        return self._row(name, names, fitted, settings.seed, found)

    def forest(self, seed: int) -> Row:
        """scikit-learn's random forest with the handbook's parameters and inputs."""
        from sklearn.ensemble import RandomForestClassifier

        def fitted(fold: BookFold) -> FloatArray:
            rows = self._fit_rows(fold.train, BOOK_FEATURES, fold.test_start)
            forest = RandomForestClassifier(**FOREST, n_jobs=2).fit(rows.features, rows.is_positive)
            shares: FloatArray = forest.predict_proba(self._features(fold.test, BOOK_FEATURES))[:, 1]
            return shares

        return self._row("random forest, scikit-learn", BOOK_FEATURES, fitted, seed, None)

    def _row(
        self,
        name: str,
        names: tuple[str, ...],
        fitted: Callable[[BookFold], FloatArray],
        seed: int,
        found: SearchResult | None,
    ) -> Row:
        bar = self._bars.add_task(f"{name}: folds", total=len(self.tested) + 1)
        ranked = []
        for fold in self.tested:
            ranked.append(Ranked(self._outcomes(fold), fitted(fold)))
            self._bars.advance(bar)
        of_folds = [one.metrics() for one in ranked]
        mean, deviation = mean_and_deviation(of_folds)
        draws = mean_draws(ranked, seed)
        self._bars.advance(bar)
        return Row(name, names, tuple(of_folds), mean, deviation, draws, found)

    def _cut(self, start: dt.date) -> BookFold:
        return cut(start, self._examples.occurred_at, self._examples.entity, self.is_fraud)

    def _features(self, rows: IntArray, names: tuple[str, ...]) -> FloatArray:
        columns = [self._examples.feature_names.index(name) for name in names]
        return np.ascontiguousarray(self._examples.features[rows][:, columns])

    def _fit_rows(self, rows: IntArray, names: tuple[str, ...], known_at: dt.date) -> FitRows:
        is_fraud, _ = labels(self._examples, known_at, DELAY_DAYS)
        return FitRows(self._features(rows, names), is_fraud[rows])

    def _outcomes(self, fold: BookFold) -> Outcomes:
        rows = fold.test
        return self._all_outcomes.rows(rows)


def read_examples(
    settings: Settings, spec: RiskModelSpec, file: Path, dates: list[dt.date], bars: "Progress"
) -> Examples:
    """Load the file, build the features, and read the examples of every fold with all that became known of them."""
    from lifecycle.features import build
    from lifecycle.warehouse import open_warehouse
    from lifecycle.warehouse.loading.load import load
    from lifecycle.warehouse.reading.examples import training_examples

    warehouse = open_warehouse(settings)
    loading = bars.add_task("load the transactions", total=None)
    load(
        warehouse,
        "card_transactions",
        file,
        progress=lambda _step, done, total: bars.update(loading, completed=done, total=total),
    )
    bars.update(loading, completed=1, total=1)
    building = bars.add_task("build the features", total=None)
    build(settings, on_node=lambda node: bars.update(building, completed=node.index, total=node.total))
    end = max(dates) + dt.timedelta(days=FOLD_DAYS)
    table = training_examples(warehouse, spec, min(dates), end, end + dt.timedelta(days=DELAY_DAYS))
    return examples_from_table(table, spec)


def document(rows: list[Row], against: dict[str, dict[str, Interval]], folds: list[BookFold], frauds: BoolArray) -> Any:
    """The document of ``--json``; `mean` is the last of our rows, with every feature that card_fraud ships with."""
    shipped = rows[-1]
    return {
        "mean": shipped.mean._asdict(),
        "deviation": shipped.deviation._asdict(),
        "folds": [
            {
                "train_start": fold.start.isoformat(),
                "train_rows": len(fold.train),
                "train_frauds": int(frauds[fold.train].sum()),
                "test_rows": len(fold.test),
                "test_frauds": int(frauds[fold.test].sum()),
            }
            for fold in folds
        ],
        "rows": {
            row.name: {
                "features": list(row.features),
                "mean": row.mean._asdict(),
                "deviation": row.deviation._asdict(),
                "folds": [fold._asdict() for fold in row.folds],
                "parameters": row.search.chosen.parameters if row.search else FOREST,
                "rounds": row.search.chosen.rounds if row.search else None,
                "search_score": row.search.chosen.score if row.search else None,
            }
            for row in rows
        },
        "published": {name: metrics._asdict() for name, metrics in PUBLISHED.items()},
        "difference_from_random_forest": {
            name: {metric: asdict(interval) for metric, interval in intervals.items()}
            for name, intervals in against.items()
        },
    }


def parse_dates(text: str, option: str) -> list[dt.date]:
    """Dates separated by commas.

    Raises
    ------
    LifecycleError
        If one is no date.
    """
    try:
        return [dt.date.fromisoformat(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise LifecycleError(f"Expected dates as 2018-07-25, separated by commas: {error} - at {option}") from error


def compare(
    settings: Settings,
    file: Path,
    searched: list[dt.date],
    tested: list[dt.date],
    spec: RiskModelSpec,
    search_spec: SearchSpec,
    bars: "Progress",
) -> tuple[list[Row], Comparison]:
    """Every row of the report: the random forest, our fifteen features, all of the mart's."""
    examples = read_examples(settings, spec, file, searched + tested, bars)
    comparison = Comparison(spec, examples, searched, tested, bars)
    everything = spec.feature_names
    rows = [
        comparison.forest(search_spec.seed),
        comparison.ours(f"ours, {len(BOOK_FEATURES)} features of the book", BOOK_FEATURES, search_spec),
        comparison.ours(f"ours, {len(everything)} features of the mart", everything, search_spec),
    ]
    return rows, comparison


def main(
    transactions: Annotated[Path, typer.Option(help="The handbook's transactions as one Parquet file.")],
    folds: Annotated[str, typer.Option(help="First training day of each fold to test, separated by commas.")] = TESTED,
    search_folds: Annotated[str, typer.Option(help="First training days of the folds to search on.")] = SEARCHED,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each search.")] = TRIALS,
    home: Annotated[
        Path | None, typer.Option(help="Installation to use and keep; a temporary one if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare the card fraud model with the handbook's published figures on the handbook's folds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    spec = read_model("card_fraud")
    # One thread a fold: the folds of a search grow side by side.
    search_spec = spec.training.searched.model_copy(update={"num_threads": 1, "trials": trials})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with ExitStack() as stack:
            place = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="card-fraud-")))
            bars = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
            rows, comparison = compare(
                Settings(home=place),
                transactions,
                parse_dates(search_folds, "--search-folds"),
                parse_dates(folds, "--folds"),
                spec,
                search_spec,
                bars,
            )
    except LifecycleError as error:
        sys.exit(f"error: {error}")
    against = {row.name: paired_difference(row.draws, rows[0].draws) for row in rows[1:]}
    if as_json:
        print(json.dumps(document(rows, against, comparison.tested, comparison.is_fraud), indent=2))
    else:
        print_report(rows, against, comparison.tested, comparison.is_fraud)


if __name__ == "__main__":
    typer.run(main)
