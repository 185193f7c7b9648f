"""What `/metrics` says: of one process, and of several that share a folder."""

import contextlib
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from serving.errors import RequestError
from serving.metric_families import LATENCY_BUCKETS_SECONDS, SCORE_BUCKETS
from serving.metrics import LogSeen, Metrics, ModelSeen, ShippingSeen, SlotSeen, StoreSeen, nullable_features
from serving.worker_metrics import forget, prepare
from tests.serving.small_models import SCHEMA

ROOT = Path(__file__).parents[2]
BUNDLE = "ab" * 32
NULLABLE = ((1, "mean"), (2, "count"))
LABELS = f'bundle="{BUNDLE}",model="m",slot="champion"'

NAMES = {
    "serving_errors_total", "serving_feature_missing_total", "serving_load_failures_total", "serving_log_failing",
    "serving_log_lag_seconds", "serving_log_unrecorded_total", "serving_log_writes_total", "serving_model_age_seconds",
    "serving_model_error", "serving_model_loaded", "serving_poll_age_seconds", "serving_release_number",
    "serving_repeats_total", "serving_request_duration_seconds", "serving_requests_in_flight",
    "serving_requests_shed_total", "serving_requests_total", "serving_score", "serving_shadow_dropped_total",
    "serving_shipped_records_total", "serving_shipping_failing", "serving_shipping_lag_bytes", "serving_slot_state",
    "serving_slot_transitions_total", "serving_workers",
}  # fmt: skip
"""Dashboards and alerts are built on these names: one that goes or changes is a change of behaviour."""


def model_seen(number: int | None, *slots: SlotSeen, has_error: bool = False) -> ModelSeen:
    return ModelSeen(number, has_error, slots)


def champion(bundle: str = BUNDLE, state: str = "serving") -> SlotSeen:
    return SlotSeen("champion", state, bundle, "2026-01-31")


def fed() -> Metrics:
    """Metrics in which something of each kind happened."""
    metrics = Metrics()
    metrics.watch(
        store=lambda: StoreSeen({"m": model_seen(7, champion())}, poll_age_seconds=1.5, load_failures=2),
        log=lambda: LogSeen(None, 0.25, writes=5, write_failures=1, unrecorded=3),
        shipping=lambda: ShippingSeen(None, lag_bytes=900, shipped_records=4),
    )
    metrics.slot("m", "champion", BUNDLE, NULLABLE).decided("review", 0.42, 0.0007, (1.0, None, 3))
    metrics.failed("InvalidRequest")
    metrics.shed("capacity")
    metrics.repeated()
    metrics.shadow_dropped("m")
    metrics.transition("m", "champion", "serving")
    metrics.in_flight += 2
    return metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_everything_that_happened_is_told() -> None:
    told = lines(fed())
    for line in (
        f'serving_requests_total{{bundle="{BUNDLE}",decision="review",model="m",slot="champion"}} 1.0',
        f'serving_requests_total{{bundle="{BUNDLE}",decision="decline",model="m",slot="champion"}} 0.0',
        f'serving_request_duration_seconds_bucket{{bundle="{BUNDLE}",le="0.0005",model="m",slot="champion"}} 0.0',
        f'serving_request_duration_seconds_bucket{{bundle="{BUNDLE}",le="0.00075",model="m",slot="champion"}} 1.0',
        f"serving_request_duration_seconds_sum{{{LABELS}}} 0.0007",
        f'serving_score_bucket{{bundle="{BUNDLE}",le="0.4",model="m",slot="champion"}} 0.0',
        f'serving_score_bucket{{bundle="{BUNDLE}",le="0.45",model="m",slot="champion"}} 1.0',
        f"serving_score_count{{{LABELS}}} 1.0",
        'serving_feature_missing_total{feature="mean",model="m"} 1.0',
        'serving_feature_missing_total{feature="count",model="m"} 0.0',
        'serving_errors_total{kind="InvalidRequest"} 1.0',
        'serving_requests_shed_total{kind="capacity"} 1.0',
        "serving_repeats_total 1.0",
        'serving_shadow_dropped_total{model="m"} 1.0',
        'serving_slot_transitions_total{model="m",slot="champion",state="serving"} 1.0',
        "serving_requests_in_flight 2.0",
        "serving_workers 1.0",
        'serving_slot_state{model="m",slot="champion",state="serving"} 1.0',
        'serving_release_number{model="m"} 7.0',
        'serving_model_loaded{model="m"} 1.0',
        'serving_model_error{model="m"} 0.0',
        "serving_poll_age_seconds 1.5",
        "serving_load_failures_total 2.0",
        'serving_log_writes_total{result="written"} 5.0',
        'serving_log_writes_total{result="failed"} 1.0',
        "serving_log_unrecorded_total 3.0",
        "serving_log_failing 0.0",
        "serving_log_lag_seconds 0.25",
        "serving_shipping_lag_bytes 900.0",
        "serving_shipped_records_total 4.0",
    ):
        assert line in told


def test_asking_again_counts_nothing_again() -> None:
    metrics = fed()
    counts = [line for line in lines(metrics) if "age_seconds" not in line]
    assert counts == [line for line in lines(metrics) if "age_seconds" not in line]


def test_names_follow_the_conventions() -> None:
    families = list(text_string_to_metric_families(fed().exposition().decode()))
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert names == NAMES
    for family in families:
        assert re.fullmatch(r"serving(_[a-z]+)+", family.name)
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        assert not re.search(
            r"_(ms|us|milliseconds|microseconds|minutes|kb|mb|count|sum|bucket|gauge)(_|$)", family.name
        )
        for sample in family.samples:
            assert all(re.fullmatch(r"[a-z]+", label) for label in sample.labels)


def test_a_counter_is_there_before_it_first_counts() -> None:
    told = lines(Metrics())
    for kind in RequestError.__subclasses__():
        assert f'serving_errors_total{{kind="{kind.__name__.removesuffix("Error")}"}} 0.0' in told
    assert 'serving_requests_shed_total{kind="capacity"} 0.0' in told
    assert 'serving_log_writes_total{result="failed"} 0.0' in told


def test_what_was_never_read_has_no_age() -> None:
    assert [line for line in lines(Metrics()) if line.startswith(("serving_poll_age", "serving_model_age"))] == []


def test_two_servers_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.repeated()
    assert "serving_repeats_total 1.0" in lines(one)
    assert "serving_repeats_total 0.0" in lines(other)


def test_the_same_slot_and_bundle_share_their_counts() -> None:
    metrics = Metrics()
    assert metrics.slot("m", "champion", BUNDLE, NULLABLE) is metrics.slot("m", "champion", BUNDLE, NULLABLE)
    assert metrics.slot("m", "champion", BUNDLE, NULLABLE) is not metrics.slot("m", "canary", BUNDLE, NULLABLE)


def test_only_features_that_may_be_missing_are_counted() -> None:
    assert nullable_features(SCHEMA) == ((3, "mean_amount_7d"),)


def test_a_shadows_copies_do_not_count_missing_features_again() -> None:
    metrics = Metrics()
    metrics.slot("m", "shadow", BUNDLE, NULLABLE).decided("approve", 0.1, 0.001, (None, None, None))
    assert [line for line in lines(metrics) if line.startswith("serving_feature_missing_total{")] == []
    assert f'serving_score_count{{bundle="{BUNDLE}",model="m",slot="shadow"}} 1.0' in lines(metrics)


def test_a_bundle_that_left_its_slot_has_no_age_and_no_state_any_more() -> None:
    metrics = Metrics()
    seen = [model_seen(1, champion("a" * 64), SlotSeen("canary", "serving", "b" * 64, "2026-02-28"))]
    metrics.watch(store=lambda: StoreSeen({"m": seen[-1]}, 0.0, 0))
    assert sum(line.startswith("serving_model_age_seconds{") for line in lines(metrics)) == 2
    seen.append(model_seen(2, champion("b" * 64)))
    [age] = [line for line in lines(metrics) if line.startswith("serving_model_age_seconds{")]
    assert f'bundle="{"b" * 64}",model="m",slot="champion"' in age
    assert 'serving_slot_state{model="m",slot="canary",state="serving"} 0.0' in lines(metrics)
    seen.append(model_seen(3, champion("a" * 64)))
    assert any("a" * 64 in line for line in lines(metrics) if line.startswith("serving_model_age_seconds{"))


def test_a_model_that_never_loaded_has_no_release_number() -> None:
    metrics = Metrics()
    failed = model_seen(None, SlotSeen("champion", "failed", None, None), has_error=True)
    metrics.watch(store=lambda: StoreSeen({"m": failed}, None, 1))
    told = lines(metrics)
    assert 'serving_model_loaded{model="m"} 0.0' in told
    assert 'serving_model_error{model="m"} 1.0' in told
    assert not any(line.startswith("serving_release_number{") for line in told)


EDGES = st.sampled_from(sorted({*LATENCY_BUCKETS_SECONDS, *SCORE_BUCKETS, 0.0, 3.0}))


@given(values=st.lists(st.tuples(EDGES | st.floats(0, 5), EDGES | st.floats(0, 1)), max_size=40))
def test_histograms_are_those_of_the_library(values: list[tuple[float, float]]) -> None:
    metrics, registry = Metrics(), CollectorRegistry()
    latency = Histogram("serving_request_duration_seconds", "x", registry=registry, buckets=LATENCY_BUCKETS_SECONDS)
    score = Histogram("serving_score", "x", registry=registry, buckets=SCORE_BUCKETS)
    slot = metrics.slot("m", "champion", BUNDLE, ())
    for seconds, scored in values:
        slot.decided("approve", scored, seconds, ())
        latency.observe(seconds)
        score.observe(scored)
    found = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }
    for family in registry.collect():
        for sample in family.samples:
            assert found[sample.name, sample.labels.get("le")] == pytest.approx(sample.value, rel=1e-12)


def test_nothing_is_lost_or_counted_twice_while_another_thread_asks() -> None:
    metrics = Metrics()
    slot = metrics.slot("m", "champion", BUNDLE, NULLABLE)
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            metrics.refresh()

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for _ in range(50_000):
        slot.decided("approve", 0.5, 0.001, (1, None, 2))
    is_over.set()
    for thread in asking:
        thread.join()
    told = lines(metrics)
    assert f'serving_requests_total{{bundle="{BUNDLE}",decision="approve",model="m",slot="champion"}} 50000.0' in told
    assert f"serving_request_duration_seconds_count{{{LABELS}}} 50000.0" in told
    assert f"serving_score_sum{{{LABELS}}} 25000.0" in told
    assert 'serving_feature_missing_total{feature="mean",model="m"} 50000.0' in told


def test_a_part_that_counts_anew_is_followed_as_a_restart() -> None:
    metrics = Metrics()
    writes = [5]
    metrics.watch(log=lambda: LogSeen(None, 0.0, writes=writes[0]))
    metrics.refresh()
    writes[0] = 2
    assert 'serving_log_writes_total{result="written"} 7.0' in lines(metrics)


# A worker in a process of its own: it does what its lines say, then says that it is done and waits to be stopped.
WORKER = """
import sys
from pathlib import Path
if sys.argv[2] != "by environment":
    from serving.worker_metrics import join
    join(Path(sys.argv[1]), int(sys.argv[2]))
from serving.metrics import LogSeen, Metrics, ModelSeen, SlotSeen, StoreSeen
metrics = Metrics()
BUNDLE = "ab" * 32
slot = metrics.slot("m", "champion", BUNDLE, ((1, "mean"),))
def stands(number, has_error=False, poll_age=0.0, bundle=BUNDLE):
    seen = ModelSeen(number, has_error, (SlotSeen("champion", "serving", bundle, "2026-01-31"),))
    metrics.watch(store=lambda: StoreSeen({"m": seen}, poll_age, 1))
def decide(count):
    for _ in range(count):
        slot.decided("approve", 0.5, 0.001, (1, None))
"""


class Worker:
    def __init__(self, folder: Path, number: int | None, code: str) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PROMETHEUS_MULTIPROC_DIR"}
        if number is None:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        named = "by environment" if number is None else str(number)
        program = WORKER + textwrap.dedent(code) + "\nmetrics.refresh(); print('done', flush=True)\n"
        program += "for line in sys.stdin:\n    print(metrics.exposition().decode(), end='\\0', flush=True)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), named],
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
def workers(folder: Path, *codes: str, numbers: bool = True) -> Iterator[list[Worker]]:
    prepare(folder)
    started: list[Worker] = []
    try:
        for number, code in enumerate(codes):
            started.append(Worker(folder, number if numbers else None, code))
        yield started
    finally:
        for worker in started:
            worker.kill()


REQUESTS = f'serving_requests_total{{bundle="{BUNDLE}",decision="approve",model="m",slot="champion"}}'


@pytest.mark.parametrize("numbers", [True, False])
def test_any_worker_tells_the_sum_of_all(tmp_path: Path, numbers: bool) -> None:
    codes = ("decide(3); metrics.in_flight = 1; stands(4)", "decide(40); metrics.in_flight = 2; stands(5)")
    with workers(tmp_path / "metrics", *codes, numbers=numbers) as (one, other):
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
    from tests.serving.test_metrics import fed
    metrics = fed()
    """
    with workers(tmp_path, code) as (worker,):
        shared = [line for line in worker.exposition() if line.startswith("#")]
    assert sorted(shared) == sorted(line for line in lines(fed()) if line.startswith("#"))


def test_a_folder_named_too_late_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with pytest.raises(RuntimeError, match="set before prometheus_client is imported"):
        Metrics()


def test_it_is_kept_fresh_for_the_others_and_once_more_at_the_end(tmp_path: Path) -> None:
    code = """
    import asyncio
    from serving.worker_metrics import collected
    def folded():
        samples = [s for m in collected(Path(sys.argv[1])) if m.name == "serving_requests" for s in m.samples]
        return sum(s.value for s in samples)
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
