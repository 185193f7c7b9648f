"""The mirrors of the release in force, and the check that compares them."""

import datetime as dt
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from lifecycle.assets import champion_check as module
from lifecycle.assets.champion_check import champion_check, champion_job
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import attempt, mirror_in_dagster, mirror_in_mlflow, newest_metadata
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import release_asset
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.alerts import Alert
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import FakeRegistry, keep, promote

DAY = dt.timedelta(days=1)
KEY = ModelKeys("toy").release


@pytest.fixture
def two_releases(stores: Stores, spec: RiskModelSpec, model: Trained) -> tuple[Release, ...]:
    for as_of in (AS_OF, AS_OF + DAY):
        promote(stores, spec, keep(stores, model, as_of=as_of))
    return stores.releases().history("toy")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Answers of a server's `/readyz`; the status is 503, as from a server that drains."""
    answer: dict[str, Any] = {"models": {}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        monkeypatch.setenv("LIFECYCLE_SERVING_URL", f"http://127.0.0.1:{listening.server_port}")
        monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
        yield answer
        listening.shutdown()
        thread.join()


def serve(answer: dict[str, Any], release: Release) -> None:
    answer["models"]["toy"] = {"slots": {"champion": release.champion.bundle_digest}}


def checked(stores: Stores, spec: RiskModelSpec, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    """The job's verdict."""
    check = champion_check(spec)
    definitions = dg.Definitions(
        assets=[release_asset(spec)],
        asset_checks=[check],
        jobs=[champion_job(spec, check)],
        resources={"stores": stores},
    )
    result = definitions.resolve_job_def("toy_champion").execute_in_process(instance=instance)
    [evaluation] = result.get_asset_check_evaluations()
    return evaluation


def alerts(stores: Stores) -> list[Alert]:
    path = stores.settings.root / "alerts.jsonl"
    return [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_without_a_release_there_is_nothing_to_compare(stores: Stores, spec: RiskModelSpec) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert checked(stores, spec, instance).passed


def test_a_rollback_that_no_mirror_saw_is_found_told_and_repaired(
    stores: Stores, spec: RiskModelSpec, two_releases: tuple[Release, ...], registry: FakeRegistry,
    server: dict[str, Any],
) -> None:  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        mirror_in_mlflow(spec, stores)
        mirror_in_dagster("toy", two_releases[-1], instance)
        serve(server, two_releases[-1])
        assert checked(stores, spec, instance).passed
        rollback = stores.releases().rollback("toy", by="tester", reason="worse")
        serve(server, rollback)
        found = checked(stores, spec, instance)
        assert not found.passed
        old, new = two_releases[-1].champion.bundle_digest[:12], rollback.champion.bundle_digest[:12]
        told = "; ".join(f"{place} names bundle {old}, release 3 has {new}" for place in ("MLflow", "Dagster"))
        assert found.description == told
        [alert] = alerts(stores)
        assert (alert.kind, alert.message) == ("champion_differs", f"{told}.")
        assert registry.slots["champion"].bundle_digest == rollback.champion.bundle_digest
        assert newest_metadata(instance, KEY)["restores"] == 1
        assert checked(stores, spec, instance).passed


def test_a_server_that_serves_another_champion_or_none_is_found(
    stores: Stores, spec: RiskModelSpec, two_releases: tuple[Release, ...], registry: FakeRegistry,
    server: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        mirror_in_mlflow(spec, stores)
        mirror_in_dagster("toy", two_releases[-1], instance)
        serve(server, two_releases[0])
        assert "the server names bundle" in (checked(stores, spec, instance).description or "")
        server["models"].clear()
        assert "the server names no champion" in (checked(stores, spec, instance).description or "")
        monkeypatch.setenv("LIFECYCLE_SERVING_URL", "http://127.0.0.1:1")
        assert "the server gave no answer: ConnectError" in (checked(Stores(), spec, instance).description or "")


def test_dagster_shows_each_release_once(two_releases: tuple[Release, ...]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for release in (*two_releases, two_releases[-1]):
            mirror_in_dagster("toy", release, instance)
        shown = instance.fetch_materializations(KEY, limit=10).records
        assert [record.asset_materialization.partition for record in shown if record.asset_materialization] == [
            "2024-02-02",
            "2024-02-01",
        ]


def test_an_alias_that_would_name_another_model_is_removed(
    stores: Stores, spec: RiskModelSpec, two_releases: tuple[Release, ...], registry: FakeRegistry
) -> None:
    mirror_in_mlflow(spec, stores)
    assert registry.slots["champion"].bundle_digest == two_releases[-1].champion.bundle_digest
    registry.versions.clear()
    for pointer in (stores.settings.candidates_dir / "toy" / "by_digest").iterdir():
        pointer.unlink()
    with pytest.raises(LifecycleError, match="champion: Expected a candidate of toy with digest"):
        mirror_in_mlflow(spec, stores)
    assert registry.slots == {}


def test_a_step_that_hangs_ends_at_its_limit_with_an_alert(stores: Stores) -> None:
    started, ended = time.monotonic(), threading.Event()
    assert attempt(stores, "toy", None, None, "Mirroring", ended.wait, timeout_seconds=0.1) is None
    assert time.monotonic() - started < 5
    ended.set()
    [alert] = alerts(stores)
    assert "Mirroring failed: TimeoutError: no answer within 0.1 s" in alert.message
    assert Path(stores.settings.root / "alerts.jsonl").stat().st_mode & 0o777 == 0o600
