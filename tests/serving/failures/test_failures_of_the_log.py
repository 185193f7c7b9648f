"""One test for each failure of the decision log, as docs/serving.md tells it."""

import contextlib
import errno
import functools
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.log.segments import segment_name, segment_paths
from serving.log.shipping.kafka import KafkaSink
from serving.log.shipping.quarantine import quarantine_path
from serving.log.verify import verify_log
from serving.log.writer import DecisionLog
from serving.process.app import create_app
from tests.harness.api import URL, settings_of
from tests.harness.failing_disk import Disk
from tests.harness.failure_rows import Row
from tests.harness.in_process_client import InProcessClient
from tests.harness.logs import eventually, line
from tests.harness.paths import ROOT
from tests.harness.server_process import failed_start, served
from tests.harness.small_models import SmallStore, score_request


@contextlib.contextmanager
def on(
    disk: Disk, store: SmallStore, patch: pytest.MonkeyPatch, stall_seconds: float = 60, **settings: Any
) -> Iterator[InProcessClient]:
    """A server whose log lies on a disk that the test breaks."""
    patch.setattr("serving.log.writer._PROBE_SECONDS", 0.02)
    log = functools.partial(DecisionLog, open_segment=disk.open(), stall_seconds=stall_seconds)
    patch.setattr("serving.process.server.DecisionLog", log)
    with InProcessClient(create_app(settings_of(store, **settings))) as client:
        try:
            yield client
        finally:
            disk.is_running.set()


def recovers(client: Any, decision_id: str) -> None:
    """The server goes on by itself, and the request may be sent again under its id."""
    eventually(lambda: client.get("/readyz").status_code == 200)
    assert client.post(URL, json=score_request(decision_id)).status_code == 200
    assert "serving_log_failing 0.0" in client.get("/metrics").text


def test_the_disk_is_full(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        assert server.client.post(URL, json=score_request("d1")).status_code == 200
        row.begins(server.client)
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        row.answers(server.client.post(URL, json=score_request("d2")))
        assert "File too large" in row.is_ready(server.client)["violations"][0]
        row.moves(server.client)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        recovers(server.client, "d3")
        server.stop()
    row.records(store, "d2")
    assert [record.decision_id for record in store.decisions()] == ["d1", "d3"]


@pytest.mark.long
def test_the_disk_is_full_and_decisions_go_on(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_LOG_FAILURE="continue") as server:
        row.begins(server.client)
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        row.answers(server.client.post(URL, json=score_request("d1")))
        assert row.is_ready(server.client)["decision_log"]["error"] == "File too large"
        row.moves(server.client)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        eventually(lambda: server.client.get("/readyz").json()["decision_log"]["error"] is None)
        recovers(server.client, "d2")
        server.stop()
    row.records(store, "d1")
    assert [record.decision_id for record in store.decisions()] == ["d2"]


def test_the_log_cannot_be_written(row: Row, store: SmallStore, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(1)
    with on(disk, store, monkeypatch) as client:
        row.begins(client)
        disk.write_violation = errno.EIO
        row.answers(client.post(URL, json=score_request("d1")))
        assert row.is_ready(client)["decision_log"]["error"] == "Input/output error"
        row.moves(client)
        disk.write_violation = None
        recovers(client, "d2")
    row.records(store, "d1")


def test_the_disk_is_full_at_the_start(
    row: Row, store: SmallStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store))):
        pass  # from now on the cache holds the release
    (store.settings.decision_log_dir / segment_name(1)).write_bytes(line("d0") + b'{"torn')
    disk.write_violation = errno.ENOSPC
    with on(disk, store, monkeypatch) as client:
        row.begins(client)
        row.answers(client.post(URL, json=score_request("d1")))
        row.is_ready(client)
        row.moves(client)
        disk.write_violation = None
        recovers(client, "d2")
    row.records(store)
    assert [record.decision_id for record in store.decisions()] == ["d0", "d2"]


def test_the_logs_folder_cannot_be_used(row: Row, store: SmallStore) -> None:
    store.publish(1)
    store.settings.root.mkdir(exist_ok=True)
    store.settings.decision_log_dir.write_text("a file")
    stderr = failed_start(store)
    assert row.failure
    assert "Expected a writable folder, got File exists" in stderr.splitlines()[-1]


def test_another_server_writes_to_the_log(row: Row, store: SmallStore) -> None:
    store.publish(1)
    log = DecisionLog(store.settings.decision_log_dir)
    log.open()
    stderr = failed_start(store)
    log.close()
    assert row.failure
    assert "another server writes to; set another SERVING_LOG_DIR" in stderr.splitlines()[-1]


def test_a_flush_fails(row: Row, store: SmallStore, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(1)
    with on(disk, store, monkeypatch, log_durability="fsync") as client:
        row.begins(client)
        disk.sync_violation = errno.EIO
        row.answers(client.post(URL, json=score_request("d1")))
        row.is_ready(client)
        row.moves(client)
        disk.sync_violation = None
        recovers(client, "d2")
    row.records(store, "d1")


def test_the_disk_does_not_answer(row: Row, store: SmallStore, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(1)
    with on(disk, store, monkeypatch, stall_seconds=1, log_durability="fsync") as client:
        row.begins(client)
        disk.is_running.clear()
        row.answers(client.post(URL, json=score_request("d1")))
        assert "the disk has not answered" in row.is_ready(client)["decision_log"]["error"]
        row.moves(client)
        disk.is_running.set()
        recovers(client, "d2")
    row.records(store, "d1")


@contextlib.contextmanager
def shipping(store: SmallStore, folder: Path, **settings: Any) -> Iterator[InProcessClient]:
    """A server that ships to `folder`, and tries again soon."""
    store.publish(1)
    app = create_app(settings_of(store, ship_to=f"directory:{folder}", **settings))
    assert app.parts.shipper is not None
    app.parts.shipper._poll_seconds = 0.02
    with InProcessClient(app) as client:
        yield client


def blocked(folder: Path) -> Path:
    """A destination that is not there, as if a disk were not mounted."""
    folder.write_text("no folder")
    return folder / "log"


def test_the_logs_destination_is_down(row: Row, store: SmallStore, tmp_path: Path) -> None:
    with shipping(store, blocked(tmp_path / "archive")) as client:
        row.begins(client)
        row.answers(client.post(URL, json=score_request("d1")))
        row.is_ready(client)
        row.moves(client)
        (tmp_path / "archive").unlink()
        eventually(lambda: "serving_shipping_failing 0.0" in client.get("/metrics").text)
    row.records(store, "d1")


def kafka(store: SmallStore, settings: str, brokers: str) -> Any:
    """A server that ships to Kafka with these settings of librdkafka."""
    store.publish(1, can_explain=True)
    path = store.settings.root / "kafka.properties"
    path.parent.mkdir(exist_ok=True)
    path.write_text(settings)
    return create_app(settings_of(store, ship_to=f"kafka:{brokers}/decisions", kafka_settings=path))


@pytest.mark.long
def test_kafka_is_away(row: Row, store: SmallStore, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        app = kafka(
            store, "reconnect.backoff.ms=10\nreconnect.backoff.max.ms=20", f"127.0.0.1:{unused.getsockname()[1]}"
        )
        assert isinstance(app.parts.shipper._sink, KafkaSink)
        app.parts.shipper._sink._delivery_seconds = 1.0
        app.parts.shipper._sink._configuration["delivery.timeout.ms"] = 1000
        app.parts.shipper._sink._discard()
        with InProcessClient(app) as client:
            row.begins(client)
            row.answers(client.post(URL, json=score_request("d1")))
            row.is_ready(client)
            row.moves(client)
            eventually(lambda: app.parts.shipper.failures["unreachable"] >= 3)
    row.records(store, "d1")
    [line] = [entry.getMessage() for entry in caplog.records if "log.shipping" in entry.name]
    assert "(unreachable): Expected 1 messages to be acknowledged, 1 were not: no answer; librdkafka: " in line
    assert "Connection refused" in line
    assert re.search(r"\(\d+ of its lines left out\)", line)


@pytest.mark.long
def test_a_record_is_over_the_limit_of_the_destination(
    row: Row, store: SmallStore, caplog: pytest.LogCaptureFixture
) -> None:
    settings = "test.mock.num.brokers=1\nmessage.max.bytes=1000\n"
    with InProcessClient(kafka(store, settings, "mock")) as client:
        shipper = client.app.parts.shipper
        row.begins(client)
        requests = [score_request(decision_id) for decision_id in ("d1", "d2", "d3")]
        requests[1]["transaction_id"] = "t" * 128
        requests[1]["decision_id"] = "2" * 128
        for request in requests:
            headers = {"X-Explain": "always"} if request is requests[1] else {}
            row.answers(client.post(URL, json=request, headers=headers))
        row.is_ready(client)
        row.moves(client)
        eventually(lambda: shipper.shipped_records == 2)
        assert shipper.failure is None, "what follows is shipped"
        [record] = shipper.quarantined
    row.records(store, "d1", "d3")
    folder = store.settings.decision_log_dir
    content = (folder / record.segment).read_bytes()
    line = content[record.byte : record.byte + record.bytes]
    assert (line.count(b"t" * 128), line[-1:], record.limit_bytes) == (1, b"\n", 1000)
    assert quarantine_path(folder, record).read_bytes() == line
    [told] = [entry.getMessage() for entry in caplog.records if "set aside" in entry.getMessage()]
    place = f"got a record of {record.bytes} bytes - at {record.segment}, byte {record.byte}"
    assert f"Expected at most 1000 bytes, key and headers included, {place}" in told
    command = [sys.executable, "-m", "serving.log.verify", str(folder)]
    verified = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"NOT SHIPPED: Expected at most 1000 bytes, key and headers included, {place}" in verified.stdout
    assert verified.returncode == 0
    quarantine_path(folder, record).unlink()
    [damage] = verify_log(folder).damages
    assert (damage.segment, damage.byte) == (record.segment, record.byte)


def test_too_much_waits_to_be_shipped(row: Row, store: SmallStore, tmp_path: Path) -> None:
    with shipping(store, blocked(tmp_path / "archive"), max_unshipped_bytes=1000) as client:
        row.begins(client)
        for decision_id in ("d1", "d2"):
            assert client.post(URL, json=score_request(decision_id)).status_code == 200
        eventually(lambda: client.get("/readyz").status_code == 503)
        row.answers(client.post(URL, json=score_request("d3")))
        assert row.is_ready(client)["decision_log"]["error"] == "more than 1000 bytes of the log are not shipped"
        row.moves(client)
        (tmp_path / "archive").unlink()
        recovers(client, "d4")
    row.records(store, "d3")


def test_too_much_waits_to_be_shipped_and_decisions_go_on(row: Row, store: SmallStore, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_unshipped_bytes": 10, "log_failure": "continue"}
    with shipping(store, blocked(tmp_path / "archive"), **settings) as client:
        row.begins(client)
        row.answers(client.post(URL, json=score_request("d1")))
        row.moves(client)
        row.answers(client.post(URL, json=score_request("d2")))
        row.is_ready(client)
        (tmp_path / "archive").unlink()
    row.records(store, "d1", "d2")


def test_a_segment_of_the_log_is_removed(
    row: Row, store: SmallStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(1)
    with on(disk, store, monkeypatch) as client:
        assert client.post(URL, json=score_request("d1")).status_code == 200
        row.begins(client)
        [segment] = segment_paths(store.settings.decision_log_dir)
        segment.unlink()
        row.moves(client)
        row.answers(client.post(URL, json=score_request("d2")))
        row.is_ready(client)
    row.records(store, "d2")
    [damage] = verify_log(store.settings.decision_log_dir).damages
    assert damage.segment == segment.name


def test_a_line_of_the_log_is_damaged(row: Row, store: SmallStore, tmp_path: Path) -> None:
    with shipping(store, blocked(tmp_path / "archive")) as client:
        row.begins(client)
        row.answers(client.post(URL, json=score_request("d1")))
        [segment] = segment_paths(store.settings.decision_log_dir)
        genuine = segment.read_bytes()
        segment.write_bytes(genuine.replace(b'"champion"', b'"chempion"', 1))
        (tmp_path / "archive").unlink()
        row.is_ready(client)
        row.moves(client)
        eventually(lambda: "a wrong checksum" in shipping_failure(client))
    command = [sys.executable, "-m", "serving.log.verify", str(store.settings.decision_log_dir)]
    verified = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert verified.returncode == 1
    assert segment.name in verified.stdout
    with shipping(store, tmp_path / "another") as client:
        assert client.get("/readyz").status_code == 200, "it does not keep a server from starting"
    segment.write_bytes(genuine)
    row.records(store, "d1")


def shipping_failure(client: InProcessClient) -> str:
    """Why nothing is shipped."""
    return str(client.app.parts.shipper.failure)
