"""From raw rows to live decisions and back, by real Dagster runs, dbt, MLflow, a server process and its log."""

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pandas as pd
import pytest
import requests
from typer.testing import CliRunner

from lifecycle.artefacts.bundles import verified_bundle
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import newest_metadata
from lifecycle.assets.retraining import retrain_sensor, retraining_state
from lifecycle.cli import app
from lifecycle.local.demo.traffic import Replay
from lifecycle.local.processes import Ports
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.reading.decisions import DECISIONS, load_decisions
from serving.contract.documents import DecisionRecord
from serving.log.segments import read_records
from tests.end_to_end.conftest import MODEL, World, decide, server
from tests.harness.serving_manual import examples, python_examples
from tests.harness.sql_check import problems

# These runs import MLflow, Evidently, SQLAlchemy and litestar whole, which warn of each other; warnings of this
# project's own packages are errors in every other test.
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
]
DAY = dt.timedelta(days=1)
NUMBERS = {"score", "margin", "bundle_digest", "contribution", "release_number", "model_version", "data"}


def failure(result: dg.ExecuteInProcessResult) -> str:
    errors = [e.step_failure_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    return " ".join(error.to_string() for error in errors if error is not None)


@pytest.fixture(scope="module")
def released(world: World) -> World:
    """The world with its first release; its data go on after this date, so that the release is asked for."""
    result = world.run(f"{MODEL}_retrain", world.days.live_start, lifecycle__first_release="test")
    assert result.success, failure(result)
    return world


@pytest.fixture(scope="module")
def watched(released: World) -> tuple[World, Replay]:
    """The released world after a quiet week of live requests, some sent twice, and their daily check."""
    start, end = released.days.quiet
    with server(released) as url:
        sent = decide(released, url, start, end)
        again = decide(released, url, start, start + DAY)
    assert again.failed == 0
    result = released.run_range(f"{MODEL}_monitor", start, end)
    assert result.success, failure(result)
    return released, sent


def test_a_run_takes_a_model_from_the_mart_to_a_signed_release(released: World) -> None:
    installation = released.installation
    release = installation.releases().latest(MODEL)
    assert release is not None
    assert release.number == 1
    assert release.champion.as_of == released.days.live_start.isoformat()
    keys = installation.key_ring().public_keys
    bundle = verified_bundle(released.settings.release_store, release.champion.bundle_digest, keys)
    candidate = installation.candidates(MODEL).current(release.champion.as_of)
    assert bundle.manifest.candidate_digest == candidate.digest
    assert all(verdict.is_passed for verdict in bundle.manifest.verdicts)
    assert b"model card" in bundle.files["card.html"]
    assert b"Fraud reported lately at the place of payment" in bundle.files["card.html"]
    version = installation.registry().find(MODEL, candidate.digest)
    assert version is not None
    assert version.version == "1"


def shape(value: Any) -> Any:
    """An answer without the numbers that depend on the trained model's last digits."""
    if isinstance(value, dict):
        return {key: None if key in NUMBERS else shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return None if isinstance(value, float) else value


def test_the_manuals_and_the_pages_examples_run_as_they_are(released: World, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{Ports().serving}"
    with server(released, SERVING_LOG_DIR=str(tmp_path)) as url:
        for path, body, answer in examples(address):
            given = httpx.post(f"{url}{path}", content=body)
            assert given.status_code == 200, given.text
            assert shape(given.json()) == shape(answer)
        for code in python_examples():
            assert address in code
            names: dict[str, Any] = {"pd": pd, "requests": requests}
            *statements, last = code.replace(address, url).strip().split("\n")
            exec("\n".join(statements), names)  # noqa: S102 - the manual's own code
            expression, _, shown = last.partition("  # ")
            assert eval(expression, names) == shown.strip("'")  # noqa: S307 - the manual's own code
        document = httpx.get(f"{url}/openapi.json").json()
        for path, operations in document["paths"].items():
            bodies = operations.get("post", {}).get("requestBody", {}).get("content", {})
            for kind, content in bodies.items():
                for example in content.get("examples", {}).values():
                    target = path.replace("{model}", MODEL).replace("{version}", "1")
                    sent = {"content": example["value"]} if kind == "text/csv" else {"json": example["value"]}
                    given = httpx.post(f"{url}{target}", headers={"content-type": kind}, **sent)
                    assert given.status_code == 200, (path, given.text)
                    assert re.search(r'"decline"', given.text), (path, given.text)
        described = document["components"]["schemas"][f"{MODEL}_Features"]["properties"]
        assert [name for name, each in described.items() if not each.get("description")] == []
        example = httpx.get(f"{url}/v1/models/{MODEL}").json()["example"]
        decided = httpx.post(f"{url}/v1/models/{MODEL}/score", json=example).json()
        assert decided["decision"] == "decline"
        assert decided["reasons"]
        assert httpx.get(url, follow_redirects=True).url.path == "/docs"


@pytest.mark.long
def test_the_same_date_again_gives_the_same_digests_and_nothing_new(released: World) -> None:
    installation, as_of = released.installation, released.days.live_start
    before = installation.candidates(MODEL).current(as_of.isoformat())
    snapshot = installation.training_sets(MODEL).describe(as_of.isoformat())
    result = released.run(f"{MODEL}_retrain", as_of)
    assert result.success, failure(result)
    assert installation.training_sets(MODEL).describe(as_of.isoformat()).digest == snapshot.digest
    after = installation.candidates(MODEL).current(as_of.isoformat())
    assert after.digest == before.digest
    assert after.read("model.txt") == before.read("model.txt")
    assert len(installation.releases().history(MODEL)) == 1


@pytest.mark.long
def test_a_past_date_is_judged_and_stops_at_the_gates(released: World) -> None:
    past = released.days.live_start - 3 * DAY
    result = released.run(f"{MODEL}_retrain", past)
    installation = released.installation
    candidate = installation.candidates(MODEL).current(past.isoformat())
    assert installation.evidence(MODEL).gates(candidate.digest, is_backtest=True).as_of == past.isoformat()
    assert result.success, failure(result)
    assert installation.registry().find(MODEL, candidate.digest) is None
    assert len(installation.releases().history(MODEL)) == 1


@pytest.mark.long
def test_half_a_day_never_becomes_a_training_set(released: World) -> None:
    beyond = released.days.end_day + 2 * DAY
    result = released.run(f"{MODEL}_retrain", beyond)
    assert not result.success
    assert "No training set was frozen" in failure(result)
    assert "days have too few transactions" in failure(result)


def test_live_requests_are_decided_logged_loaded_once_and_judged(watched: tuple[World, Replay]) -> None:
    released, sent = watched
    end = released.days.change_day
    assert sent.failed == 0
    assert sent.releases == {1: sent.sent}
    warehouse = open_warehouse(released.settings)
    rows = warehouse.query(f"select count(*) as n, count(distinct decision_id) as ids from {DECISIONS}").to_pylist()[0]
    assert rows == {"n": sent.sent, "ids": sent.sent}
    assert load_decisions(open_warehouse(released.settings, Use("log")), released.settings.decision_log_dir).read == 0
    verdict = released.installation.evidence(MODEL).drift()[end]
    assert verdict.traffic.has_verdict
    assert not verdict.traffic.is_alarm, verdict.reason
    assert max(verdict.traffic.psi.values()) < 0.1
    assert released.installation.evidence(MODEL).live_performance()[end].has_verdict
    report = released.settings.reports_dir / MODEL / f"drift-{end.isoformat()}.html"
    assert f"monitoring as of {end}, quiet" in report.read_text()
    assert report.with_suffix(".evidently.html").stat().st_size > 100_000


def test_a_recorded_decision_replays_to_the_bit_and_hides_the_entity(watched: tuple[World, Replay]) -> None:
    released, _ = watched
    record = next(read_records(released.settings.decision_log_dir)).record
    assert isinstance(record, DecisionRecord)
    assert len(record.entity_key) == 64
    answer = CliRunner().invoke(app, ["replay", record.decision_id, "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)


@pytest.mark.long
def test_every_decision_of_the_week_replays_to_the_bit(watched: tuple[World, Replay]) -> None:
    _, sent = watched
    answer = CliRunner().invoke(app, ["replay", "--all", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["decisions"] == sent.sent >= 10_000
    assert found["failed_attempts"] == 0


def test_a_retraining_is_ordered_once_for_a_date_and_not_while_one_is_in_flight(
    watched: tuple[World, Replay],
) -> None:
    released, _ = watched
    installation, spec = released.installation, released.spec
    as_of = released.days.change_day + DAY
    change_day = released.days.change_day
    quiet = installation.evidence(MODEL).drift()[change_day]
    onset = change_day.isoformat()
    alarm = dataclasses.replace(
        quiet, as_of=as_of.isoformat(), is_alarm=True, reason="PSI", new_positives=1000, onset=onset
    )
    installation.evidence(MODEL).write_drift(alarm)
    sensor = retrain_sensor(spec, released.definitions.resolve_job_def(f"{MODEL}_retrain"))

    def evaluate(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(instance=released.instance, cursor=cursor, resources={"stores": installation})
        return sensor(context)  # type: ignore[return-value]

    first = evaluate(None)
    assert isinstance(first, dg.SensorResult)
    requests = first.run_requests or []
    assert [(request.run_key, request.partition_key) for request in requests] == [
        (f"{MODEL}:{as_of.isoformat()}", as_of.isoformat())
    ]
    second = evaluate(first.cursor)
    assert isinstance(second, dg.SkipReason)
    assert "already ordered" in (second.skip_message or "")
    state = retraining_state(spec, installation, None, is_in_flight=True)
    assert state is not None
    assert state.alarm_bundle == state.champion_bundle


@pytest.mark.long
def test_a_freeze_stops_promotion_and_a_rollback_holds_it_until_it_is_resumed(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.cli.mirror.TIMEOUT_SECONDS", 300.0)  # a busy machine imports MLflow for a minute
    installation, as_of = released.installation, released.days.change_day + 4 * DAY
    releases = installation.releases()
    releases.switches.freeze(by="tester", reason="audit")
    frozen = released.run(f"{MODEL}_retrain", as_of)
    assert frozen.success, failure(frozen)
    assert len(releases.history(MODEL)) == 1
    releases.switches.unfreeze(by="tester", reason="audit is over")
    assert released.run(f"{MODEL}_retrain", as_of).success
    assert [release.champion.as_of for release in releases.history(MODEL)][-1] == as_of.isoformat()
    answer = CliRunner().invoke(app, ["rollback", MODEL, "--reason", "it declines too much"])
    assert answer.exit_code == 0, answer.output
    history = releases.history(MODEL)
    assert history[-1].champion == history[0].champion
    assert "Mirroring" not in answer.stderr
    assert installation.registry().champion(MODEL) == history[0].champion.bundle_digest
    with dg.DagsterInstance.from_config(str(released.settings.dagster_home)) as instance:
        assert newest_metadata(instance, ModelKeys(MODEL).release)["release_number"] == len(history)
    rerun = released.run(f"{MODEL}_retrain", as_of)
    assert rerun.success, failure(rerun)
    assert releases.history(MODEL) == history
    later = as_of + DAY
    assert released.run(f"{MODEL}_retrain", later).success
    assert releases.history(MODEL) == history
    releases.switches.resume(MODEL, releases.history(MODEL), by="tester", reason="the threshold was corrected")
    assert released.run(f"{MODEL}_retrain", later).success
    assert releases.history(MODEL)[-1].champion.as_of == later.isoformat()


@pytest.mark.long
@pytest.mark.parametrize("world", ["snowflake"], indirect=True)
def test_every_statement_is_snowflakes_own_and_says_what_it_was_for(watched: tuple[World, Replay]) -> None:
    endpoint = watched[0].endpoint
    assert endpoint is not None
    statements = endpoint.statements()
    refused = {line["sql"]: found for line in statements if (found := problems(line["sql"]))}
    assert not refused
    tags = [json.loads(line["tag"]) for line in statements]
    assert {tag["app"] for tag in tags} == {"lifecycle"}
    assert {tag["step"] for tag in tags} == {"load", "transform", "train", "log", "read", "fairness"}
    in_runs = [tag for tag in tags if "asset" in tag]
    assert {"training_set", "decisions", "drift", "live_performance"} <= {tag["asset"] for tag in in_runs}
    assert all(tag.get("run_id") for tag in in_runs)
    timeout = str(watched[0].settings.snowflake.statement_timeout_seconds)
    limits = {str(line["parameters"].get("STATEMENT_TIMEOUT_IN_SECONDS")) for line in statements}
    assert limits == {timeout}
    warehouses = {line["role"]: line["warehouse"] for line in statements}
    assert set(warehouses) >= {"LIFECYCLE_LOAD", "LIFECYCLE_TRANSFORM", "LIFECYCLE_TRAIN", "LIFECYCLE_LOG"}
