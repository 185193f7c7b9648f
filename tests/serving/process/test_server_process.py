"""The real server in a process of its own: started, fed, reloaded, tampered with, killed and started again."""

import json
import resource
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from tests.harness.broken_requests import SECRET
from tests.harness.paths import ROOT
from tests.harness.server_process import URL, Load, Server, eventually, failed_start, served, under_load
from tests.harness.small_models import MODEL, SmallStore, booster, golden_rows, score_request


def release_number(server: Server) -> int:
    return int(server.client.get("/v1/models").json()["models"][0]["release_number"])


def logged_ids(store: SmallStore) -> list[str]:
    return [record.decision_id for record in store.decisions()]


def answered(loads: list[Load]) -> int:
    """How many requests were answered with a decision so far."""
    return sum(len(load.answers) for load in loads)


def answering_releases(loads: list[Load]) -> set[int]:
    """Numbers of the releases that have answered so far."""
    return {answer["release_number"] for load in loads for answer in list(load.answers.values())}


def test_new_releases_under_load_fail_no_request_and_every_answer_is_its_models(store: SmallStore) -> None:
    store.publish(1)
    margins = {seed: [row.margin for row in golden_rows(seed)] for seed in (1, 2, 3)}
    with served(store) as server, under_load(server) as loads:
        for number, seed in ((2, 2), (3, 3), (4, None)):
            eventually(lambda number=number: number - 1 in answering_releases(loads))  # type: ignore[misc]
            if seed is None:
                store.releases.rollback(MODEL, by="test", reason="test")
            else:
                store.publish(seed)
            eventually(lambda number=number: release_number(server) == number)  # type: ignore[misc]
        eventually(lambda: 4 in answering_releases(loads))
        server_load = loads
    seeds = {1: 1, 2: 2, 3: 3, 4: 2}
    answers = {key: answer for load in server_load for key, answer in load.answers.items()}
    assert [load.failures for load in server_load] == [[], [], []]
    assert {answer["release_number"] for answer in answers.values()} == {1, 2, 3, 4}
    for decision_id, answer in answers.items():
        row = int(decision_id.partition("-")[2]) % 8
        expected = booster(seeds[answer["release_number"]]).predict
        assert answer["margin"] == margins[seeds[answer["release_number"]]][row], expected
    assert sorted(logged_ids(store)) == sorted(answers)


@pytest.mark.long
def test_tampering_is_refused_and_the_old_model_goes_on(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        release = store.publish(2)
        root = store.settings.release_store
        # The server may have been quick; what it then holds must stand when the store goes back below it.
        bundle = root / "bundles" / release.champion.bundle_digest / "model.txt"
        eventually(lambda: release_number(server) == 2)
        third = store.seal(3)
        tampered = root / "bundles" / third / "model.txt"
        tampered.write_bytes(tampered.read_bytes() + b"\n")
        assert bundle.is_file()
        path = root / "releases" / MODEL / "000003.json"
        path.write_text(
            (root / "releases" / MODEL / "000002.json").read_text().replace('\\"number\\": 2', '\\"number\\": 3')
        )
        eventually(lambda: "after they were signed" in server.client.get("/readyz").text)
        path.unlink()
        (root / "releases" / MODEL / "000002.json").unlink()
        eventually(lambda: "the store went back" in server.client.get("/readyz").text)
        answer = server.client.post(URL, json=score_request(features=golden_rows(2)[0].features)).json()
        assert (answer["release_number"], answer["margin"]) == (2, golden_rows(2)[0].margin)
        assert server.client.get("/readyz").status_code == 200


@pytest.mark.long
def test_a_killed_server_lost_nothing_it_answered_and_repeats_itself(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        with under_load(server) as loads:
            eventually(lambda: answered(loads) > 20)
            server.stop(signal.SIGKILL)
        answers = {key: answer for load in loads for key, answer in load.answers.items()}
    assert len(answers) > 20
    assert set(answers) <= set(logged_ids(store))
    with (store.settings.decision_log_dir / "decisions-000000000001.jsonl").open("ab") as torn:
        torn.write(b'{"schema_version":1,"decision_id":"to')
    with served(store) as server:
        for decision_id, answer in list(answers.items())[:20]:
            features = golden_rows(1)[int(decision_id.partition("-")[2]) % 8].features
            again = server.client.post(URL, json=score_request(decision_id, features=features))
            assert again.json() == answer
        assert any("truncated 37 bytes" in line for line in server.said)
    ids = logged_ids(store)
    assert len(ids) == len(set(ids))


@pytest.mark.long
def test_a_restart_without_the_store_serves_the_last_release(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    with served(store) as server:
        server.stop()
    shutil.move(store.settings.release_store, store.settings.root / "gone")
    with served(store) as server:
        assert server.client.get("/readyz").status_code == 200
        answer = server.client.post(URL, json=score_request(features=golden_rows(2)[0].features)).json()
        assert (answer["release_number"], answer["margin"]) == (2, golden_rows(2)[0].margin)
        assert "found no folder" in server.client.get("/readyz").json()["store"]["error"]
        shutil.move(store.settings.root / "gone", store.settings.release_store)
        store.publish(3)
        eventually(lambda: release_number(server) == 3)


@pytest.mark.long
def test_a_full_disk_refuses_decisions_until_it_has_room_again(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        assert server.client.post(URL, json=score_request("d1")).status_code == 200
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        refused = server.client.post(URL, json=score_request("d2"))
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert server.client.get("/readyz").status_code == 503
        assert "serving_log_failing 1.0" in server.client.get("/metrics").text
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        eventually(lambda: server.client.get("/readyz").status_code == 200)
        assert server.client.post(URL, json=score_request("d2")).status_code == 200
        server.stop()
    assert logged_ids(store) == ["d1", "d2"]


@pytest.mark.long
def test_stopping_answers_what_is_in_flight_and_flushes(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server, under_load(server) as loads:
        eventually(lambda: answered(loads) > 10)
        for load in loads:
            load.is_over.set()
        server.stop()
    assert {key for load in loads for key in load.answers} <= set(logged_ids(store))
    assert any("Application shutdown complete" in line for line in server.said)


@pytest.mark.long
def test_no_log_line_and_no_file_holds_a_customers_key(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        server.client.post(URL, json=score_request(entity_key=SECRET))
        server.client.post(URL, json=score_request(**{SECRET: SECRET}))
        server.client.post(f"/v1/models/{SECRET}/score", json=score_request())
        server.client.get(f"/{SECRET}?{SECRET}")
        server.stop()
    assert SECRET not in "".join(server.said)
    files = [path for path in store.settings.root.rglob("*") if path.is_file()]
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_busy_port_is_said_in_one_line(store: SmallStore) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        stderr = failed_start(store, SERVING_PORT=str(port))
    assert stderr == (
        f"Error: Expected the address 127.0.0.1:{port} to be free, got: Address already in use; "
        "stop the process that listens there or set SERVING_PORT\n"
    )


def test_a_missing_setting_is_named(store: SmallStore) -> None:
    environment = {key: value for key, value in store.environment().items() if key != "SERVING_STORE"}
    command = [sys.executable, "-m", "serving"]
    process = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (1, "Error: Field required - at SERVING_STORE\n")


@pytest.mark.long
def test_a_second_server_on_the_same_log_is_refused(store: SmallStore) -> None:
    store.publish(1)
    with served(store):
        stderr = failed_start(store, SERVING_CACHE_DIR=str(store.settings.root / "other_cache"))
    assert "another server writes to" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


def test_a_key_that_others_can_read_is_refused(store: SmallStore) -> None:
    store.keys.pseudonym_key_path.chmod(0o644)
    assert "Expected mode 0600, got 0644; run chmod 600" in failed_start(store)


def test_the_answer_is_json(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        response = server.client.post(URL, content=json.dumps(score_request()))
        assert response.headers["content-type"] == "application/json"
        assert "server" not in response.headers
