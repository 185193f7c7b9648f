"""Several workers behind one address, in real processes."""

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.log.segments import log_folders, segment_paths
from serving.process.workers import Worker, is_in_crash_loop, next_pause
from tests.harness.server_process import URL, Server, eventually, failed_start, served, under_load, worker_pids
from tests.harness.small_models import SmallStore, score_request


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def decisions_counted(server: Server) -> float:
    lines = re.findall(r"^serving_requests_total\{.*\} (\S+)$", server.client.get("/metrics").text, re.MULTILINE)
    return sum(map(float, lines))


@pytest.mark.long
def test_workers_share_the_load_the_log_folder_and_the_metrics(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        answered = set(until_both_answer(server, store))
        with under_load(server, clients=8) as loads:
            time.sleep(1.5)
        answered |= {key for load in loads for key in load.answers}
        assert [load.failures for load in loads] == [[]] * 8
        eventually(lambda: decisions_counted(server) == len(answered))
        server.stop()
    recorded = [record.decision_id for record in store.decisions()]
    assert sorted(recorded) == sorted(answered)


def until_both_answer(server: Server, store: SmallStore) -> list[str]:
    """Ask on one new connection after the other until both workers have recorded a decision; the ids that were used."""
    used: list[str] = []

    def both_have_answered() -> bool:
        used.append(f"first-{len(used)}")
        with httpx.Client(base_url=str(server.client.base_url), timeout=60) as client:
            assert client.post(URL, json=score_request(used[-1])).status_code == 200
        folders = log_folders(store.settings.decision_log_dir)
        return {folder.name for folder in folders if segment_paths(folder)} == {"worker-0", "worker-1"}

    eventually(both_have_answered)
    return used


@pytest.mark.long
def test_a_second_server_does_not_take_part_of_the_first_ones_connections(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        port = str(server.client.base_url.port)
        stderr = failed_start(
            store, SERVING_WORKERS="2", SERVING_PORT=port, SERVING_LOG_DIR=str(store.settings.root / "x")
        )
    assert f"Expected the address 127.0.0.1:{port} to be free" in stderr


@pytest.mark.long
def test_a_killed_worker_is_replaced_and_lost_nothing(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        eventually(lambda: len(worker_pids(server)) == 2)
        before = worker_pids(server)
        with under_load(server, clients=4) as loads:
            time.sleep(0.5)
            os.kill(before[0], signal.SIGKILL)
            time.sleep(0.5)
        eventually(lambda: len(worker_pids(server)) == 2 and before[0] not in worker_pids(server))
        eventually(lambda: httpx.get(f"{server.client.base_url}/readyz", timeout=60).status_code == 200)
        server.stop()
    answered = {key for load in loads for key in load.answers}
    recorded = [record.decision_id for record in store.decisions()]
    assert answered <= set(recorded)
    assert len(recorded) == len(set(recorded))
    assert all(re.fullmatch(r"\w+Error|\w+Timeout", failure) for load in loads for failure in load.failures)


@pytest.mark.long
def test_workers_end_with_their_supervisor(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        eventually(lambda: len(worker_pids(server)) == 2)
        workers = worker_pids(server)
        server.stop(signal.SIGKILL)
        eventually(lambda: not any(is_running(pid) for pid in workers))


@pytest.mark.long
def test_workers_that_cannot_start_end_the_server_with_their_violation(store: SmallStore) -> None:
    store.keys.pseudonym_key_path.chmod(0o644)
    assert "Expected mode 0600, got 0644" in failed_start(store, SERVING_WORKERS="2")


@pytest.mark.parametrize(
    ("before", "lived", "pause"), [(0, 5, 1), (1, 5, 2), (16, 5, 30), (30, 5, 30), (30, 60, 0), (0, 3600, 0)]
)
def test_how_long_a_worker_waits_for_its_next_start(before: float, lived: float, pause: float) -> None:
    assert next_pause(before, lived) == pause


@pytest.mark.parametrize(
    ("pause", "lived", "is_running", "is_looping"),
    [
        (0.0, 5.0, True, False),  # the first start
        (1.0, 5.0, True, False),  # restarted once
        (2.0, 5.0, True, True),
        (2.0, 5.0, False, True),
        (30.0, 59.0, True, True),
        (30.0, 61.0, True, False),  # stable again
        (30.0, 600.0, False, True),  # waits for its next start
    ],
)
def test_a_worker_that_keeps_ending_is_in_a_crash_loop_until_it_is_stable(
    pause: float, lived: float, is_running: bool, is_looping: bool
) -> None:
    process: Any = object() if is_running else None
    worker = Worker(0, process=process, began_at=100.0, starts=3, pause_seconds=pause)
    assert is_in_crash_loop(worker, 100.0 + lived) == is_looping


@pytest.mark.long
def test_the_score_is_the_same_from_every_worker(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2") as server:
        margins = set()
        for number in range(12):
            with httpx.Client(base_url=str(server.client.base_url), timeout=60) as client:
                margins.add(client.post(URL, json=score_request(f"d{number}")).json()["margin"])
        assert len(margins) == 1
