"""A real Prometheus, with the deployed rules, scrapes the real server and answers for it."""

import contextlib
import dataclasses
import datetime as dt
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx

from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.local.report_server import ReportServer
from lifecycle.settings.platform import Settings
from tests.harness.monitoring_files import dashboard_expressions
from tests.harness.server_process import URL, Server, served
from tests.harness.small_models import MODEL, SmallStore, golden_rows, score_request
from tests.harness.verdicts import ALARM, judge
from tests.services.conftest import scraping


def address(server: Server) -> str:
    return server.client.base_url.netloc.decode()


def decide(server: Server, prefix: str, count: int) -> None:
    for index in range(count):
        features = golden_rows(1)[index % 8].features
        answer = server.client.post(URL, json=score_request(f"{prefix}{index}", features=features))
        assert answer.status_code == 200


def test_prometheus_knows_every_decision_and_the_dashboards_questions(store: SmallStore, tmp_path: Path) -> None:
    bundle = store.publish(1).champion.bundle_digest
    with served(store) as server, scraping(tmp_path / "prometheus", [address(server)]) as prometheus:
        decide(server, "d", 30)
        assert server.client.post(URL, content=b"{").status_code == 422
        decisions = f'sum(serving_requests_total{{model="{MODEL}",slot="champion",bundle="{bundle}"}})'
        prometheus.shows(decisions, 30)
        prometheus.shows(f'serving_request_duration_seconds_count{{bundle="{bundle}"}}', 30)
        prometheus.shows(f'serving_score_bucket{{bundle="{bundle}",le="1.0"}}', 30)
        prometheus.shows('serving_errors_total{kind="InvalidRequest"}', 1)
        prometheus.shows(f'serving_release_number{{model="{MODEL}"}}', 1)
        prometheus.shows('up{job="risk-model-server"}', 1)
        expressions = dashboard_expressions(MODEL)
        assert len(expressions) > 30
        # A rate needs two scrapes. The rest is silent for a champion without shadow, fault, certificate or sink.
        silent = ('shadow"}', "> 0", "certificate", "shipping_failures")
        speaking = [each for each in expressions if not any(part in each for part in silent)]
        prometheus.eventually(lambda: all(prometheus.values(each) for each in speaking))
        for expression in expressions:
            prometheus.values(expression)


def test_two_workers_are_one_server_to_prometheus(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    with (
        served(store, SERVING_WORKERS="2") as server,
        scraping(tmp_path / "prometheus", [address(server)]) as prometheus,
    ):
        decide(server, "a", 10)
        # On new connections, which either worker may take.
        for number in range(20):
            with httpx.Client(base_url=str(server.client.base_url), timeout=60) as client:
                assert client.post(URL, json=score_request(f"b{number}")).status_code == 200
        prometheus.shows("sum(serving_requests_total)", 30)
        prometheus.shows("serving_workers", 2)
        prometheus.shows("serving_model_loaded", 1)
        prometheus.shows('serving_slot_state{slot="champion",state="serving"}', 2)
        prometheus.eventually(lambda: prometheus.firing().keys() <= {"ModelTooOld"})  # the tests' models are


def test_a_disk_without_room_wakes_somebody_until_it_has_room_again(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    with served(store) as server, scraping(tmp_path / "prometheus", [address(server)]) as prometheus:
        decide(server, "d", 1)
        prometheus.shows("serving_log_failing", 0)
        prometheus.eventually(lambda: prometheus.firing().keys() <= {"ModelTooOld"})  # the tests' models are
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        assert server.client.post(URL, json=score_request("refused")).status_code == 503
        alert = prometheus.fires("DecisionLogFailing")
        assert alert["labels"]["severity"] == "page"
        assert alert["annotations"]["summary"] == f"{address(server)} cannot record decisions"
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        prometheus.eventually(lambda: "DecisionLogFailing" not in prometheus.firing())


def test_a_refused_release_and_a_dead_server_are_noticed(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    with served(store) as server, scraping(tmp_path / "prometheus", [address(server)]) as prometheus:
        releases = store.settings.release_store / "releases" / MODEL
        (releases / "000002.json").write_bytes((releases / "000001.json").read_bytes())
        assert prometheus.fires("ReleaseRefused")["labels"]["model"] == MODEL
        server.stop()
        prometheus.eventually(lambda: {"NoServerUp", "ServerDown"} <= prometheus.firing().keys())


def test_prometheus_knows_the_lifecycle_and_its_alerts_lead_to_the_published_runbook(
    store: SmallStore, tmp_path: Path
) -> None:
    champion = judge(store)
    day = dt.datetime.now(dt.UTC).date()
    evidence = EvidenceStore(store.settings.evidence_dir, MODEL)
    evidence.write_drift(dataclasses.replace(ALARM, champion=champion, as_of=day.isoformat()))
    with reports(store.settings) as address, scraping(tmp_path / "p", ["127.0.0.1:1"], lifecycle=address) as prometheus:
        prometheus.shows(f'lifecycle_drift_psi{{model="{MODEL}",column="score"}}', 1.5)
        prometheus.shows(f'lifecycle_recall{{model="{MODEL}"}}', 0.17)
        prometheus.shows('up{job="risk-model-lifecycle"}', 1)
        expected = {
            "DriftAlarm",
            "ExtremeAlarm",
            "RecallBelowPromise",
            "OverCapacity",
            "NotAccountedFor",
            "AlarmUnanswered",
        }
        prometheus.eventually(lambda: expected <= prometheus.firing().keys())
        assert {"MonitoringBehind", "FilesUnreadable", "LifecycleDown"}.isdisjoint(prometheus.firing())
        extreme = prometheus.fires("ExtremeAlarm")
        assert (extreme["labels"]["model"], extreme["labels"]["severity"]) == (MODEL, "page")
        base = "https://git.example.com/risk/platform/blob/main/"
        assert extreme["annotations"]["runbook_url"] == f"{base}docs/alerts.md#extremealarm"
        speaking = [each for each in dashboard_expressions(MODEL, "lifecycle") if "> 0" not in each]
        prometheus.eventually(lambda: all(prometheus.values(each) for each in speaking))
        for expression in dashboard_expressions(MODEL, "lifecycle"):
            prometheus.values(expression)
        (store.settings.evidence_dir / MODEL / "drift" / f"{day}.json").write_text("{")
        assert prometheus.fires("FilesUnreadable")["labels"]["kind"] == "drift"
        prometheus.eventually(lambda: "DriftAlarm" not in prometheus.firing())


@contextlib.contextmanager
def reports(settings: Settings) -> Iterator[str]:
    """The address of the server of the reports while it runs."""
    with ReportServer(settings, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_what_the_tests_start_listens_on_loopback_alone(tmp_path: Path) -> None:
    with scraping(tmp_path / "prometheus", ["127.0.0.1:1"]) as prometheus:
        listening = sockets(prometheus.process.pid)
    assert listening
    assert set(listening) == {"0100007F"}


def sockets(process_id: int) -> list[str]:
    """Addresses, in the kernel's hexadecimal, that a process listens on."""
    own = {link.readlink().name for link in Path(f"/proc/{process_id}/fd").iterdir() if link.is_symlink()}
    lines = [
        line.split()
        for kind in ("tcp", "tcp6")
        for line in Path(f"/proc/{process_id}/net/{kind}").read_text().splitlines()[1:]
    ]
    return [fields[1].partition(":")[0] for fields in lines if fields[3] == "0A" and f"socket:[{fields[9]}]" in own]
