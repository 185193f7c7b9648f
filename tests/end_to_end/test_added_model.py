"""A model of another portfolio, added by YAML and SQL alone: from raw files to live decisions and a retraining."""

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from lifecycle.assets.keys import ModelKeys
from lifecycle.local.demo.live import requests_of
from lifecycle.local.demo.traffic import replay
from lifecycle.spec.model_files import read_model
from lifecycle.warehouse import open_warehouse
from tests.harness.paths import ROOT
from tests.harness.running_installation import RunningInstallation, running_installation

pytestmark = [pytest.mark.long, pytest.mark.handbook, pytest.mark.timeout(1200), pytest.mark.filterwarnings("ignore")]
MODEL = "credit_default"
SHIPPED = ROOT / "lifecycle" / "defs" / MODEL
CLIENTS = ROOT.parent / "shared" / "data" / "credit_default_taiwan" / "credit_card_clients.parquet"
DAY = dt.timedelta(days=1)
ROWS_A_DAY = 150
DAYS = 200
KNOWN_AFTER_DAYS = 5
FIRST_AS_OF, LIVE_DAYS = 163, 28
"""Days after the first one: the whole training set of the first release, and the days that it decides."""
EDUCATION = {1: "graduate", 2: "university", 3: "high_school", 4: "others"}
"""The file's codes; the others are not explained, so that they are null here. `others` is none of the categories."""
SEED = 20180401


@dataclass
class Portfolio:
    """The installation with the added model, and the first day of its data."""

    installation: RunningInstallation
    start: dt.date

    def day(self, number: int) -> dt.date:
        """A day, counted from 0."""
        return self.start + number * DAY


def raw_tables(start: dt.date, folder: Path) -> dict[str, Path]:
    """The file as raw tables; ids and dates are made here, and the file's order is mixed, since it means nothing."""
    rows = pq.read_table(CLIENTS)
    order = np.random.default_rng(SEED).permutation(rows.num_rows)
    rows = rows.take(pa.array(order))
    count = rows.num_rows
    seconds = np.arange(count) % ROWS_A_DAY * (86_400 // ROWS_A_DAY)
    days = (np.arange(count) // ROWS_A_DAY).astype("timedelta64[D]")
    moments = np.datetime64(start.isoformat(), "us") + days + seconds.astype("timedelta64[s]")
    ids = pa.array([f"A{index:06d}" for index in range(count)])
    clients = pa.array([f"C{index:06d}" for index in order])
    educations = [EDUCATION.get(code) for code in rows["EDUCATION"].to_pylist()]
    table = {
        "application_id": ids,
        "client_id": clients,
        "observed_at": pa.array(moments),
        # A twentieth is below six months and no example of the model.
        "months_on_book": pa.array(np.where(np.arange(count) % 20 == 7, 3, 24)),
        "credit_limit": money(rows["LIMIT_BAL"]),
        "education": pa.array(educations, pa.string()),
    }
    for back, status in enumerate(("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"), 1):
        table[f"pay_status_{back}"] = rows[status].cast(pa.int64())
        table[f"bill_{back}"] = money(rows[f"BILL_AMT{back}"])
        table[f"paid_{back}"] = money(rows[f"PAY_AMT{back}"])
    outcomes = {
        "application_id": ids,
        "known_at": pa.array(moments + np.timedelta64(KNOWN_AFTER_DAYS, "D")),
        "is_default": pc.equal(rows["default payment"], 1),
    }
    protected = {
        "client_id": clients,
        "sex": pc.if_else(pc.equal(rows["SEX"], 1), "male", "female"),
        "age_band": pc.if_else(pc.less(rows["AGE"], 45), "under_45", "45_and_over"),
    }
    folder.mkdir()
    files = {}
    for name, columns in {"clients": table, "outcomes": outcomes, "protected": protected}.items():
        files[f"credit_{name}"] = folder / f"{name}.parquet"
        pq.write_table(pa.table(columns), files[f"credit_{name}"])
    return files


def money(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks().cast(pa.decimal128(19, 0))
    return whole.cast(pa.decimal128(21, 2)).cast(pa.decimal128(12, 2))


def added_models(folder: Path) -> Path:
    """An empty folder of models, and in it the credit model with windows that the file's 200 days allow."""
    shutil.copytree(SHIPPED, folder / MODEL)
    file = folder / MODEL / "defs.yaml"
    document = yaml.safe_load(file.read_text())
    attributes = document["attributes"]
    attributes["label"]["maturity_days"] = KNOWN_AFTER_DAYS + 1
    attributes["training"] = {
        "train": 108, "validation": 10, "holdout": 27, "search": {"trials": 6, "metric": "roc_auc"},
    }  # fmt: skip
    attributes["promotion"] = {"mode": "auto"}
    # A week has 997 examples.
    attributes["drift"] = {"window_days": 7, "minimum_rows": 500, "minimum_positives": 50}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".yaml", ".yml", ".sql"}
    return folder


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portfolio]:
    """Loaded, built, trained and released through the commands and the UI's own interface, while everything runs."""
    root = tmp_path_factory.mktemp("added")
    start = dt.datetime.now(dt.UTC).date() - (DAYS + KNOWN_AFTER_DAYS + 1) * DAY
    files = raw_tables(start, root / "raw")
    models = added_models(root / "models")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("LIFECYCLE_MODELS", str(models))
        installation = stack.enter_context(running_installation(root / "home", profile=None))
        installation.command("init")
        for table, file in files.items():
            installation.command("warehouse", "load", table, str(file))
        installation.start()
        portfolio = Portfolio(installation, start)
        installation.run("features", start.isoformat(), portfolio.day(DAYS - 1).isoformat())
        as_of = portfolio.day(FIRST_AS_OF).isoformat()
        installation.run(ModelKeys(MODEL).retrain_job, as_of)
        candidate = installation.stores.candidates(MODEL).current(as_of)
        installation.command("release", "--first", MODEL, candidate.digest, "--reason", "the first model")
        # Mirrors that took too long on a busy machine are repaired by the command that their alert names.
        installation.command("mirror", MODEL)
        yield portfolio


def test_the_holdout_is_ranked_as_well_as_the_file_allows(portfolio: Portfolio) -> None:
    candidate = portfolio.installation.stores.candidates(MODEL).current(portfolio.day(FIRST_AS_OF).isoformat())
    holdout = candidate.evaluation.holdout
    assert holdout.metrics["roc_auc"].value >= 0.775
    assert holdout.metrics["gini"].value == pytest.approx(2 * holdout.metrics["roc_auc"].value - 1)
    assert (holdout.capacity, holdout.cut_off) == (None, 0.15)
    evidence = portfolio.installation.stores.evidence(MODEL).gates(candidate.digest)
    assert all(verdict.is_passed for verdict in evidence.verdicts)
    assert "default examples to fit on" in evidence.verdicts[0].summary


def test_every_part_names_the_first_release(portfolio: Portfolio) -> None:
    installation = portfolio.installation
    expected = installation.released(MODEL)
    installation.wait(lambda: installation.served(MODEL) == expected, f"the server to decide with {expected}")
    assert set(installation.champions(MODEL).values()) == {expected}


def test_a_request_is_decided_with_reasons_and_an_unseen_category_counts_as_other(portfolio: Portfolio) -> None:
    url = f"{portfolio.installation.serving_url}/v1/models/{MODEL}"
    example = httpx.get(url).json()["example"]
    decided = httpx.post(f"{url}/score", json=example).json()
    assert decided["decision"] in {"review", "decline"}
    assert decided["reasons"][0]["text"] in {
        "Months by which payments were late", "What is owed, compared with the limit", "What was paid back lately",
        "The limit of the credit", "How long the account has been open", "The education that was stated",
    }  # fmt: skip
    scores = {}
    for education in ("other", "elementary", None):
        request = {**example, "features": {**example["features"], "education": education}}
        request["decision_id"] = request["transaction_id"] = f"education-{education}"
        scores[education] = httpx.post(f"{url}/score", json=request).json()["score"]
    assert scores["elementary"] == scores["other"]


def test_live_decisions_are_measured_and_one_retraining_follows(portfolio: Portfolio) -> None:
    installation = portfolio.installation
    start, end = portfolio.day(FIRST_AS_OF), portfolio.day(FIRST_AS_OF + LIVE_DAYS)
    requests = requests_of(open_warehouse(installation.settings), read_model(MODEL), start, end)
    assert len(requests) == LIVE_DAYS * ROWS_A_DAY * 19 // 20
    sent = replay(installation.serving_url, MODEL, requests)
    assert (sent.sent, sent.failed) == (len(requests), 0), sent.failures
    installation.run(ModelKeys(MODEL).monitor_job, start.isoformat(), (end - DAY).isoformat())
    evidence = installation.stores.evidence(MODEL)
    performance = evidence.live_performance()[end]
    assert performance.has_verdict
    assert performance.metric == "recall_at_cut_off"
    assert performance.roc_auc is not None
    assert performance.roc_auc > 0.72
    assert performance.expected_rate == pytest.approx(performance.observed_rate, abs=0.05)
    drift = evidence.drift()[end]
    assert drift.traffic.has_verdict
    assert {"education", "utilisation"} <= set(drift.traffic.psi)
    report = installation.settings.reports_dir / MODEL / f"drift-{end.isoformat()}.html"
    assert f"monitoring as of {end}" in report.read_text()
    installation.run(ModelKeys(MODEL).retrain_job, end.isoformat())
    releases = json.loads(installation.command("releases", MODEL, "--json"))["releases"]
    assert [release["champion"]["as_of"] for release in releases] == [start.isoformat(), end.isoformat()]
