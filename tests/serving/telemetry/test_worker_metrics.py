"""What `/metrics` says where several workers share a folder: real processes, some of them killed."""

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from serving.telemetry.worker_metrics import forget, prepare
from tests.harness.metric_samples import BUNDLE, LABELS, fed, lines
from tests.harness.paths import ROOT

# A worker in a process of its own: it does what its lines say, then says that it is done and waits to be stopped.
WORKER = """
import sys
from pathlib import Path
from serving.telemetry.worker_metrics import join
join(Path(sys.argv[1]), int(sys.argv[2]))
from serving.telemetry.metrics import Metrics
from serving.telemetry.statuses import ModelStatus, SlotStatus, StoreStatus
metrics = Metrics()
metrics.begin()
BUNDLE = "ab" * 32
slot = metrics.slot("m", "champion", BUNDLE, ((1, "mean"),))
def stands(number, has_error=False, poll_age=0.0, bundle=BUNDLE):
    seen = ModelStatus(number, has_error, (SlotStatus("champion", "serving", bundle, "2026-01-31"),))
    metrics.watch(store=lambda: StoreStatus({"m": seen}, poll_age, 1))
def decide(count):
    for _ in range(count):
        slot.decided("approve", 0.5, 0.001, (1, None))
"""


class Worker:
    def __init__(self, folder: Path, number: int, code: str) -> None:
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder / "of another program")}
        program = WORKER + textwrap.dedent(code) + "\nmetrics.refresh(); print('done', flush=True)\n"
        program += "for line in sys.stdin:\n    print(metrics.exposition().decode(), end='\\0', flush=True)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), str(number)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def exposition(self) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return "".join(iter(lambda: self.process.stdout.read(1), "\0")).splitlines()  # type: ignore[union-attr]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def workers(folder: Path, *codes: str) -> Iterator[list[Worker]]:
    prepare(folder)
    started: list[Worker] = []
    try:
        for number, code in enumerate(codes):
            started.append(Worker(folder, number, code))
        yield started
    finally:
        for worker in started:
            worker.kill()


REQUESTS = f'serving_requests_total{{bundle="{BUNDLE}",decision="approve",model="m",slot="champion"}}'


def test_any_worker_tells_the_sum_of_all(tmp_path: Path) -> None:
    codes = ("decide(3); metrics.in_flight = 1; stands(4)", "decide(40); metrics.in_flight = 2; stands(5)")
    with workers(tmp_path / "metrics", *codes) as (one, other):
        for worker in (one, other):
            told = worker.exposition()
            for line in (
                f"{REQUESTS} 43.0",
                f"serving_request_duration_seconds_count{{{LABELS}}} 43.0",
                f'serving_score_bucket{{bundle="{BUNDLE}",le="0.5",model="m",slot="champion"}} 43.0',
                'serving_feature_missing_total{feature="mean",model="m"} 43.0',
                "serving_requests_in_flight 3.0",
                "serving_workers 2.0",
                "serving_load_failures_total 2.0",
                'serving_slot_state{model="m",slot="champion",state="serving"} 2.0',
            ):
                assert line in told


def test_states_are_the_worst_of_all_workers(tmp_path: Path) -> None:
    codes = ("stands(4, True, 60.0, 'a' * 64); metrics.refresh(); stands(5, True, 60.0)", "stands(4, False, 1.0)")
    with workers(tmp_path, *codes) as (one, other):
        told = other.exposition()
        assert 'serving_release_number{model="m"} 4.0' in told
        assert 'serving_model_error{model="m"} 1.0' in told
        assert "serving_poll_age_seconds 60.0" in told
        assert [BUNDLE in line for line in told if line.startswith("serving_model_age_seconds{")] == [True]
        assert one.exposition()[:3] == told[:3]


def test_what_left_one_worker_and_stands_in_another_is_told(tmp_path: Path) -> None:
    left = "stands(1, bundle='a' * 64); metrics.refresh(); stands(2)"
    stays = "stands(1, bundle='a' * 64)"
    for codes in ((left, stays), (stays, left)):
        with workers(tmp_path, *codes) as (one, _):
            ages = [line for line in one.exposition() if line.startswith("serving_model_age_seconds{")]
            assert sorted(line.split('"')[1] for line in ages) == ["a" * 64, BUNDLE]


def test_a_dead_workers_counts_stay_and_the_next_one_goes_on_with_them(tmp_path: Path) -> None:
    with workers(tmp_path, "decide(3); metrics.in_flight = 5", "decide(40); metrics.in_flight = 1") as (one, other):
        one.kill()
        forget(tmp_path, 0)
        told = other.exposition()
        assert f"{REQUESTS} 43.0" in told
        assert "serving_requests_in_flight 1.0" in told
        assert "serving_workers 1.0" in told
        files = len(list(tmp_path.iterdir()))
        again = Worker(tmp_path, 0, "decide(100)")
        try:
            told = other.exposition()
            assert f"{REQUESTS} 143.0" in told
            assert "serving_workers 2.0" in told
            assert "serving_requests_in_flight 1.0" in told
            assert len(list(tmp_path.iterdir())) <= files + 3
        finally:
            again.kill()


def test_a_new_server_starts_at_zero(tmp_path: Path) -> None:
    with workers(tmp_path, "decide(3)"):
        pass
    with workers(tmp_path, "decide(1)") as (worker,):
        assert f"{REQUESTS} 1.0" in worker.exposition()


def test_a_worker_that_is_just_starting_breaks_no_scrape(tmp_path: Path) -> None:
    with workers(tmp_path, "decide(3)") as (worker,):
        (tmp_path / "counter_7.db").touch()
        assert f"{REQUESTS} 3.0" in worker.exposition()


def test_both_ways_tell_the_same_metrics(tmp_path: Path) -> None:
    code = """
    from tests.harness.metric_samples import fed
    metrics = fed()
    """
    with workers(tmp_path, code) as (worker,):
        shared = [line for line in worker.exposition() if line.startswith("#")]
    assert sorted(shared) == sorted(line for line in lines(fed()) if line.startswith("#"))


def test_it_is_kept_fresh_for_the_others_and_once_more_at_the_end(tmp_path: Path) -> None:
    code = """
    import asyncio
    from serving.telemetry.worker_metrics import WorkersCollector
    def folded():
        metrics = WorkersCollector(Path(sys.argv[1])).collect()
        return sum(s.value for m in metrics if m.name == "serving_requests" for s in m.samples)
    async def serve():
        keeping = asyncio.create_task(metrics.keep_fresh(0.01))
        decide(2)
        while folded() != 2:
            await asyncio.sleep(0.01)
        decide(3)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    asyncio.run(serve())
    metrics.refresh = lambda: None
    """
    with workers(tmp_path, code) as (worker,):
        assert f"{REQUESTS} 5.0" in worker.exposition()
