"""Cards that a release declines and reviews a day on weeks that no model had seen, against the capacity.

Simulates a world, trains as of each of several weeks, and counts the cards of the following week that reach the bands:
those of the release (cut on its own scores of the last days), and bands cut on the judged model's scores of the
holdout, which is the days whose labels are mature.

python -m benchmarks.decision_bands --weeks 6
"""

import argparse
import dataclasses
import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lifecycle.features import build
from lifecycle.local.demo.timeline import LONGEST_WINDOW_DAYS
from lifecycle.local.simulator import SIMULATED, SimulationConfig, simulate
from lifecycle.modelling.splits import longest_span_days
from lifecycle.modelling.thresholds import Traffic, count_bands, decision_bands
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.modelling.windows import holdout, predict, released_window
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import instant
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.reading.examples import training_examples
from serving.contract.documents import Bands

FIRST_DAY = dt.date(2026, 1, 5)
WEEK = dt.timedelta(days=7)


def first_as_of(spec: RiskModelSpec) -> dt.date:
    """The earliest cut-off whose windows lie after the longest feature window."""
    maturity_days = spec.label.maturity_days
    return FIRST_DAY + dt.timedelta(days=LONGEST_WINDOW_DAYS + longest_span_days(spec.training, maturity_days))


def simulated(home: Path, spec: RiskModelSpec, customers: int, weeks: int, seed: int) -> Examples:
    """Simulate, load and build; the examples of all days with everything that became known of them."""
    end = first_as_of(spec) + weeks * WEEK
    config = SimulationConfig(customers, 3 * customers // 4, FIRST_DAY, (end - FIRST_DAY).days, seed=seed)
    simulate(config, home / "files")
    settings = Settings(home=home)
    warehouse = open_warehouse(settings)
    for relation in SIMULATED:
        load(warehouse, relation, home / "files" / relation)
    build(settings)
    start = FIRST_DAY + dt.timedelta(days=LONGEST_WINDOW_DAYS)
    return examples_from_table(training_examples(warehouse, spec, start, end, end + WEEK), spec)


def known_before(examples: Examples, as_of: dt.date) -> Examples:
    """The examples and reports before a cut-off."""
    past = examples.rows(np.flatnonzero(examples.occurred_at < instant(as_of)))
    reported = np.where(past.known_at < instant(as_of), past.known_at, np.datetime64("NaT"))
    return dataclasses.replace(past, known_at=reported)


def live_week(examples: Examples, as_of: dt.date, trained: Trained) -> Traffic:
    """The week after a release, with its scores."""
    is_live = (examples.occurred_at >= instant(as_of)) & (examples.occurred_at < instant(as_of + WEEK))
    rows = np.flatnonzero(is_live)
    live = predict(trained.model_text, trained.deciding.calibration, np.ascontiguousarray(examples.features[rows]))
    return Traffic(examples.occurred_at[rows], examples.entity[rows], live.scores)


def holdout_bands(spec: RiskModelSpec, examples: Examples, as_of: dt.date, trained: Trained) -> Bands:
    """Bands cut on the judged model's scores of the holdout."""
    outcomes, features = holdout(spec, examples, as_of)
    judged = predict(trained.judged_model_text, trained.deciding.calibration, features)
    base_rate = released_window(trained.windows, trained.is_refitted).base_rate
    return decision_bands(Traffic(outcomes.occurred_at, outcomes.entity, judged.scores), spec.decision, base_rate)


def lines(spec: RiskModelSpec, examples: Examples, weeks: int) -> Iterator[str]:
    """A line for each week: cards a day declined and reviewed, by either way to cut the bands."""
    for week in range(weeks):
        as_of = first_as_of(spec) + week * WEEK
        known = known_before(examples, as_of)
        trained = train(spec, known, as_of)
        live = live_week(examples, as_of, trained)
        figures = []
        for bands in (holdout_bands(spec, known, as_of, trained), trained.deciding.bands):
            counts = count_bands(live, bands)
            figures += [counts.declined_entity_days / counts.days, counts.reviewed_entity_days / counts.days]
        yield f"| {as_of} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=3000)
    parser.add_argument("--weeks", type=int, default=6)
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--profile", default=None)
    chosen = parser.parse_args()
    spec = read_model("card_fraud", chosen.profile)
    search = spec.training.searched.model_copy(update={"trials": chosen.trials})
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"search": search})})
    print("| as of | declined: holdout | reviewed: holdout | declined: last days | reviewed: last days |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="decision-bands-") as home:
        examples = simulated(Path(home), spec, chosen.customers, chosen.weeks, chosen.seed)
        for line in lines(spec, examples, chosen.weeks):
            print(line, flush=True)


if __name__ == "__main__":
    main()
