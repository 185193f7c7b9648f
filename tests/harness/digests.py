"""Digests of everything that a training computes with sums, for processes with other cores and libraries.

``python -m tests.harness.digests CORES pieces`` fits the calibration and the baseline and evaluates it, at sizes where
OpenBLAS uses several threads; ``CORES training ROWS`` trains the shipped model on so many made-up rows a day.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import os
import sys
from typing import Any

import msgspec
import numpy as np

from lifecycle.artefacts.candidates import training_files
from lifecycle.modelling.baseline import fit_baseline
from lifecycle.modelling.calibration import fit_calibration
from lifecycle.modelling.evaluation import Reviewed, evaluate
from lifecycle.modelling.fitting import FitRows
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training import train
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import FeatureSpec, RiskModelSpec
from lifecycle.tables.arrays import FloatArray, TimeArray
from serving.contract.derivation import completion, is_derived
from serving.contract.documents import encode

AS_OF = dt.date(2026, 6, 1)
CALIBRATION_ROWS = 250_000


def digest(document: Any) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(msgspec.json.encode(document)).hexdigest()


def pieces() -> dict[str, str]:
    """Calibration, baseline and evaluation, each by itself."""
    generator = np.random.default_rng(5)
    margins = generator.normal(scale=2.0, size=CALIBRATION_ROWS)
    is_positive = generator.random(CALIBRATION_ROWS) < 1 / (1 + 20 * np.exp2(-margins))
    features = generator.normal(size=(40_000, 20)) + generator.normal(size=20)
    schema = [FeatureSpec(name=f"f{column}") for column in range(20)]
    rows = FitRows(features, is_positive[:40_000])
    predictions = fit_baseline(rows, schema).predict(features)
    days = np.datetime64("2026-01-01", "us") + generator.integers(0, 7, 40_000).astype("timedelta64[D]")
    amounts = generator.integers(1, 50_000, 40_000) / 100
    outcomes = Outcomes(days, generator.integers(0, 3_000, 40_000), amounts, is_positive[:40_000])
    return {
        "calibration": digest(fit_calibration(margins, is_positive)),
        "baseline": digest(predictions.margins.tolist()),
        "evaluation": digest(dataclasses.asdict(evaluate(outcomes, predictions, Reviewed(capacity=100), draws=20))),
    }


def made_up_examples(rows_per_day: int) -> Examples:
    """Examples of the shipped windows, with a fraud that depends on three of the features."""
    spec = read_model("card_fraud")
    start, end = snapshot_days(AS_OF, spec.training, spec.label.maturity_days)
    generator = np.random.default_rng(11)
    rows = (end - start).days * rows_per_day
    seconds = np.sort(generator.integers(0, (end - start).days * 86_400, rows))
    occurred = np.datetime64(start.isoformat(), "us") + seconds.astype("timedelta64[s]")
    features = np.round(generator.gamma(2.0, 30.0, (rows, len(spec.features))), 2)
    facts = np.round(generator.gamma(2.0, 30.0, (rows, len(spec.facts))), 2)
    features = derived_from_others(spec, features, facts, occurred)
    odds = 0.02 * features[:, 0] + 0.02 * features[:, 4] - 0.01 * features[:, 7] - 7.0
    is_positive = generator.random(rows) < 1 / (1 + np.exp2(-1.4427 * odds))
    reported = np.where(is_positive, occurred + np.timedelta64(2, "D"), np.datetime64("NaT", "us"))
    return Examples(
        id=np.arange(rows),
        entity=generator.integers(0, rows_per_day, rows),
        occurred_at=occurred,
        known_at=np.where(reported < np.datetime64(end.isoformat(), "us"), reported, np.datetime64("NaT", "us")),
        amount=features[:, 0],
        features=features,
        feature_names=spec.feature_names,
        facts=facts,
    )


def derived_from_others(spec: RiskModelSpec, features: FloatArray, facts: FloatArray, moments: TimeArray) -> FloatArray:
    """The rows with whole numbers where the schema has ints, and with what follows from the other fields."""
    schema = spec.contract_features
    whole = [feature.dtype == "int" for feature in schema]
    features = np.where(whole, np.floor(features), features)
    carried = [index for index, feature in enumerate(schema) if not is_derived(feature)]
    complete = completion(schema, spec.contract_facts)
    rows = np.column_stack([features[:, carried], facts]).tolist()
    return np.array([complete(row, moment) for row, moment in zip(rows, moments.tolist(), strict=True)], dtype=float)


def training(rows_per_day: int) -> dict[str, str]:
    """Every file of the candidate that the shipped model gives on made-up rows, with one trial of the search."""
    spec = read_model("card_fraud")
    search = spec.training.searched.model_copy(update={"trials": 1})
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"search": search})})
    trained = train(spec, made_up_examples(rows_per_day), AS_OF)
    files = training_files(trained) | {"model": trained.model_text, "deciding": encode(trained.deciding)}
    files["golden"] = msgspec.json.encode(trained.golden)
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def main() -> None:
    """Print the digests as JSON; the first argument is the number of cores that this process may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
    computed = pieces() if sys.argv[2] == "pieces" else training(int(sys.argv[3]))
    sys.stdout.write(json.dumps(computed))


if __name__ == "__main__":
    main()
