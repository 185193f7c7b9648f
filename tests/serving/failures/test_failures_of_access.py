"""One test for each failure of who may ask, and of the process itself, as docs/serving.md tells it."""

import datetime as dt
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.commands import add, revoke
from serving.process.app import create_app
from tests.harness.api import URL, settings_of
from tests.harness.failure_rows import Row
from tests.harness.in_process_client import InProcessClient
from tests.harness.server_process import eventually, failed_start, served, under_load, worker_pids
from tests.harness.small_models import SmallStore, score_request

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)


class Keyed:
    """A client that names itself with a key."""

    def __init__(self, client: InProcessClient, key: str) -> None:
        self._client = client
        self._headers = {"X-Api-Key": key}

    def get(self, path: str) -> httpx.Response:
        return self._client.request("GET", path, headers=self._headers)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self._client.request("POST", path, headers=self._headers, **body)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


@pytest.fixture
def client(store: SmallStore, keys: Path) -> Iterator[InProcessClient]:
    """A server with keys, whose operator asks it to look at their file."""
    store.publish(1)
    add(keys, "first", ["read"], NOW)
    with InProcessClient(create_app(settings_of(store, api_keys=keys, poll_seconds=3600))) as client:
        yield client


def named(client: InProcessClient, keys: Path, name: str, *scopes: str) -> Keyed:
    """A caller with a new key, which the server knows."""
    key, _ = add(keys, name, scopes, NOW)
    client.app.parts.look()
    return Keyed(client, key)


def test_a_key_is_missing_or_unknown(row: Row, client: InProcessClient, keys: Path, store: SmallStore) -> None:
    monitoring = named(client, keys, "monitoring", "read")
    row.begins(monitoring)
    row.answers(client.post(URL, json=score_request("d1")))
    response = row.answers(Keyed(client, "risk_" + "x" * 43).post(URL, json=score_request("d1")))
    assert response.headers["www-authenticate"] == "Bearer"
    row.is_ready(client)
    row.moves(monitoring)
    eventually(lambda: sum(rejection.count for rejection in store.rejections()) == 2)
    row.records(store, "d1")


def test_a_key_is_revoked(row: Row, client: InProcessClient, keys: Path, store: SmallStore) -> None:
    monitoring, engine = named(client, keys, "monitoring", "read"), named(client, keys, "engine", "score")
    row.begins(monitoring)
    assert engine.post(URL, json=score_request("d1")).status_code == 200
    revoke(keys, "engine", NOW)
    client.app.parts.look()
    row.answers(engine.post(URL, json=score_request("d2")))
    row.is_ready(client)
    row.moves(monitoring)
    eventually(lambda: len(store.rejections()) == 1)
    row.records(store, "d2")
    assert [record.caller for record in store.decisions()] == ["engine"]


def test_a_key_lacks_the_scope(row: Row, client: InProcessClient, keys: Path, store: SmallStore) -> None:
    monitoring = named(client, keys, "monitoring", "read")
    row.begins(monitoring)
    row.answers(monitoring.post(URL, json=score_request("d1")))
    row.is_ready(client)
    row.moves(monitoring)
    eventually(lambda: len(store.rejections()) == 1)
    row.records(store, "d1")


def test_the_file_of_keys_is_malformed(row: Row, client: InProcessClient, keys: Path, store: SmallStore) -> None:
    all_scopes = named(client, keys, "engine", "score", "read", "operate")
    row.begins(all_scopes)
    genuine = keys.read_text()
    keys.write_text(genuine + "{\n")
    all_scopes.post("/v1/poll")
    row.answers(all_scopes.post(URL, json=score_request("d1")))
    assert "line 3" in row.is_ready(client)["api_keys"]["error"]
    row.moves(all_scopes)
    keys.write_text(genuine)
    all_scopes.post("/v1/poll")
    assert client.get("/readyz").json()["api_keys"]["error"] is None
    row.records(store, "d1")


def test_the_file_of_keys_is_malformed_at_the_start(row: Row, store: SmallStore, keys: Path) -> None:
    keys.write_text("{\n")
    keys.chmod(0o600)
    stderr = failed_start(store, SERVING_API_KEYS=str(keys)).splitlines()[-1]
    assert row.failure
    assert stderr.startswith("Error: ")
    assert stderr.endswith(f"{keys} line 1")


def test_the_server_is_to_listen_beyond_loopback_without_keys(row: Row, store: SmallStore) -> None:
    stderr = failed_start(store, SERVING_HOST="::")
    assert row.failure
    assert stderr.startswith("Error: Expected API keys, because other machines can reach ::")


def test_a_private_key_file_is_open_to_others(row: Row, store: SmallStore) -> None:
    store.keys.pseudonym_key_path.chmod(0o640)
    assert row.failure
    assert "Expected mode 0600, got 0640; run chmod 600" in failed_start(store)


@pytest.mark.long
def test_all_workers_are_killed_at_once(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        eventually(lambda: len(worker_pids(server)) == 2)
        assert server.client.get("/readyz").json()["workers"] == {"restarts": 0, "crash_loop": []}
        assert server.client.post(URL, json=score_request("d1")).status_code == 200
        before = worker_pids(server)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(worker_pids(server)) == 2 and not set(before) & set(worker_pids(server)))
        server.client.close()
        server.client = httpx.Client(base_url=str(server.client.base_url), timeout=60)
        eventually(server.answers)
        assert row.is_ready(server.client)["workers"] == {"restarts": 2, "crash_loop": []}
        row.answers(server.client.post(URL, json=score_request("d2")))
        server.stop()
    row.records(store, "d1", "d2")


@pytest.mark.long
def test_a_worker_is_killed(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        eventually(lambda: "serving_workers 2.0" in server.client.get("/metrics").text)
        row.begins(server.client)
        before = worker_pids(server)
        with under_load(server, clients=4) as loads:
            time.sleep(0.3)
            os.kill(before[0], signal.SIGKILL)
            # Its socket still takes connections until it has gone; what waits there is reset with it.
            eventually(lambda: before[0] not in worker_pids(server))
            with httpx.Client(base_url=str(server.client.base_url), timeout=60) as client:
                row.moves(client)
                row.is_ready(client)
                row.answers(client.post(URL, json=score_request("d1")))
        eventually(lambda: len(worker_pids(server)) == 2 and before[0] not in worker_pids(server))
        server.client.close()
        server.client = httpx.Client(base_url=str(server.client.base_url), timeout=60)
        eventually(lambda: "serving_workers 2.0" in server.client.get("/metrics").text)
        server.stop()
    answered = {key for load in loads for key in load.answers}
    recorded = [record.decision_id for record in store.decisions()]
    assert answered <= set(recorded)
    assert len(recorded) == len(set(recorded))
    row.records(store, "d1")


@pytest.mark.long
def test_the_server_is_killed(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        answer = row.answers(server.client.post(URL, json=score_request("d1")))
        server.stop(signal.SIGKILL)
    with next(store.settings.decision_log_dir.glob("*.jsonl")).open("ab") as torn:
        torn.write(b'{"schema_version":2,"decision_id":"to')
    with served(store) as server:
        again = row.answers(server.client.post(URL, json=score_request("d1")))
        assert again.json() == answer.json()
        assert any("truncated 37 bytes" in line for line in server.said)
        row.is_ready(server.client)
        server.stop()
    row.records(store, "d1")
    assert len(store.decisions()) == 1


@pytest.mark.long
def test_the_server_is_stopped_while_it_answers(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        with under_load(server) as loads:
            time.sleep(0.3)
            for load in loads:
                load.is_over.set()
        row.answers(server.client.post(URL, json=score_request("d1")))
        server.stop()
        assert server.process.returncode in {0, -signal.SIGTERM}
    assert [load.failures for load in loads] == [[]] * 3
    assert {key for load in loads for key in load.answers} <= {record.decision_id for record in store.decisions()}
    assert list(store.settings.decision_log_dir.glob("*.seal.json"))
    row.records(store, "d1")


def test_the_port_is_taken(row: Row, store: SmallStore) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        stderr = failed_start(store, SERVING_PORT=str(busy.getsockname()[1]))
    assert row.failure
    assert "Address already in use; stop the process that listens there or set SERVING_PORT" in stderr
