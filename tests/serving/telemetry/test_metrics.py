"""What `/metrics` says: of one process, and of several that share a folder."""

import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from serving.errors import RequestError
from serving.telemetry.families import LATENCY_BUCKETS_SECONDS, SCORE_BUCKETS
from serving.telemetry.metrics import Metrics, nullable_features
from serving.telemetry.statuses import LogStatus, SlotStatus, StoreStatus
from tests.harness.metric_samples import BUNDLE, LABELS, NAMES, NULLABLE, champion, fed, lines, model_seen
from tests.harness.small_models import SCHEMA


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
    seen = [model_seen(1, champion("a" * 64), SlotStatus("canary", "serving", "b" * 64, "2026-02-28"))]
    metrics.watch(store=lambda: StoreStatus({"m": seen[-1]}, 0.0, 0))
    assert sum(line.startswith("serving_model_age_seconds{") for line in lines(metrics)) == 2
    seen.append(model_seen(2, champion("b" * 64)))
    [age] = [line for line in lines(metrics) if line.startswith("serving_model_age_seconds{")]
    assert f'bundle="{"b" * 64}",model="m",slot="champion"' in age
    assert 'serving_slot_state{model="m",slot="canary",state="serving"} 0.0' in lines(metrics)
    seen.append(model_seen(3, champion("a" * 64)))
    assert any("a" * 64 in line for line in lines(metrics) if line.startswith("serving_model_age_seconds{"))


def test_a_model_that_never_loaded_has_no_release_number() -> None:
    metrics = Metrics()
    failed = model_seen(None, SlotStatus("champion", "failed", None, None), has_error=True)
    metrics.watch(store=lambda: StoreStatus({"m": failed}, None, 1))
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
            if sample.name.endswith("_created"):  # the server does not show when a metric was created
                continue
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
    metrics.watch(log=lambda: LogStatus(None, 0.0, writes=writes[0]))
    metrics.refresh()
    writes[0] = 2
    assert 'serving_log_writes_total{result="written"} 7.0' in lines(metrics)


def test_a_folder_that_the_environment_names_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "missing"))
    metrics = Metrics()
    metrics.refresh()
    assert "serving_workers 0.0" in lines(metrics)
    assert list(tmp_path.iterdir()) == []
