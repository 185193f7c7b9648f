"""The toy model in a home of its own with short windows: a models folder, a warehouse, and commands as processes."""

import datetime as dt
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import yaml

from lifecycle.assets.resources import Stores
from lifecycle.local.installation import prepare
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import PACKAGE_DIR
from lifecycle.spec.model_files import COMPONENT
from tests.harness.toy_model import SPEC, card_table, spec_with
from tests.harness.toy_platform import fill_warehouse

SHORT = {
    "reason_texts": None,
    "training": {"train": 6, "validation": 2, "holdout": 3, "search": {"trials": 2, "num_threads": 1}},
    "drift": {"minimum_rows": 100},
    "promotion": {"mode": "auto"},
}
"""Windows of 15 days with the labels' delay, so that a month has many dates."""
FIRST_AS_OF = dt.date(2024, 1, 18)
UNTOUCHED = ("release_store", "evidence", "alerts.jsonl", "mlflow", "candidates", "keys", "training_sets/toy/as_of")
"""What a backtest must leave as it is, below the home."""


@dataclass(frozen=True)
class ToyHome:
    """A home whose commands run as processes."""

    settings: Settings
    models: Path

    @property
    def stores(self) -> Stores:
        return Stores()

    def write(self, name: str = "toy", folder: Path | None = None, **overrides: Any) -> Path:
        """Write a model's file."""
        path = (folder or self.models) / name / "defs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        attributes = {key: value for key, value in (SPEC | SHORT | {"name": name} | overrides).items() if value}
        path.write_text(yaml.safe_dump({"type": COMPONENT, "attributes": attributes}))
        return path

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "lifecycle.cli", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, expected: int = 0) -> str:
        """Output of a command; of one that must fail, its error."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=280)
        assert process.returncode == expected, out + err
        return err if expected else out

    def untouched(self) -> Mapping[str, str]:
        """Digest of every file that a backtest must leave as it is, by its path."""
        found = {}
        for name in UNTOUCHED:
            place = self.settings.root / name
            for path in [place, *place.rglob("*")] if place.exists() else []:
                if path.is_file():
                    found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def runs(self) -> list[str]:
        """Dagster's runs."""
        with dg.DagsterInstance.from_config(str(self.settings.dagster_home)) as instance:
            return [run.run_id for run in instance.get_runs()]


def write_contract(models: Path, table: pa.Table) -> Path:
    """The toy model's dbt package, which describes its mart and its outcomes; nothing builds it."""
    outcomes = ["transaction_id", "occurred_at", "reported_at"]
    relations = {"toy_features": table.column_names, "toy_outcomes": outcomes}
    described = [{"name": name, "columns": [{"name": each} for each in columns]} for name, columns in relations.items()]
    path = models / "toy" / PACKAGE_DIR / "models" / "toy.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"models": described}))
    return path


def toy_home(home: Path, patch: pytest.MonkeyPatch, rows: int = 6000) -> ToyHome:
    """A prepared home with a month of the toy model's transactions; with 16,000 each date beats the baseline."""
    models, table = home.parent / "models", card_table(rows)
    write_contract(models, table)
    for name, value in {"LIFECYCLE_HOME": str(home), "LIFECYCLE_MODELS": str(models)}.items():
        patch.setenv(name, value)
    patch.delenv("LIFECYCLE_PROFILE", raising=False)
    settings = Settings()
    previous = os.umask(0o077)
    try:
        prepare(settings)
        fill_warehouse(Stores(), spec_with(), table, table)
    finally:
        os.umask(previous)
    made = ToyHome(settings, models)
    made.write()
    return made
