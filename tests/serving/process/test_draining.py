"""SIGTERM and SIGHUP to the real server: it drains, then stops; it loads its certificates again and never ends."""

import datetime as dt
import os
import re
import signal
import socket
import ssl
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.server_process import URL, Server, eventually, served, worker_pids
from tests.harness.small_models import SmallStore, score_request

DAY = dt.timedelta(days=1)


def write_certificate(folder: Path, name: str, end: dt.datetime) -> None:
    """Write a certificate of its own authority and its key to `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(end - 300 * DAY).not_valid_after(end).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))


def common_name(server: Server) -> str:
    """Name in the certificate that a new connection gets."""
    url = server.client.base_url
    pem = ssl.get_server_certificate((url.host, url.port or 0))
    return str(x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string())


def tls(folder: Path) -> dict[str, str]:
    return {"SERVING_TLS_CERTIFICATE": str(folder / "certificate"), "SERVING_TLS_KEY": str(folder / "key")}


def said(server: Server, text: str) -> bool:
    return any(text in line for line in server.said)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopping_server_says_so_then_answers_and_then_closes(store: SmallStore, workers: int) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS=str(workers), SERVING_DRAIN_SECONDS="5") as server:
        eventually(lambda: f"serving_workers {workers}.0" in server.client.get("/metrics").text)
        assert "connection" not in server.client.get("/readyz").headers
        pids = worker_pids(server) if workers > 1 else [server.process.pid]
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{server.client.base_url}/readyz", timeout=60).status_code == 503)
        for number in range(2 * workers):
            # New connections, and a kept one: both get answers, and no connection is kept.
            readiness = httpx.get(f"{server.client.base_url}/readyz", timeout=60)
            assert readiness.json()["violations"] == ["the server is about to stop"]
            answers = [
                server.client.post(URL, json=score_request(f"kept-{number}")),
                httpx.post(f"{server.client.base_url}{URL}", json=score_request(f"new-{number}"), timeout=60),
                httpx.get(f"{server.client.base_url}/healthz", timeout=60),
            ]
            assert [(answer.status_code, answer.headers["connection"]) for answer in answers] == [(200, "close")] * 3
        server.process.wait(timeout=60)
        assert time.monotonic() - began >= 5
        assert sum("draining for 5 s" in line for line in server.said) == workers
        with pytest.raises(ConnectionError):
            socket.create_connection((server.client.base_url.host, server.client.base_url.port or 0))
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(store.decisions()) == 4 * workers


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_further_signal_ends_the_drain(store: SmallStore, number: int) -> None:
    store.publish(1)
    with served(store, SERVING_DRAIN_SECONDS="3600") as server:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: said(server, "draining for 3600 s"))
        server.stop(number)
        assert said(server, "Application shutdown complete")


@pytest.mark.long
def test_a_further_signal_ends_the_drain_of_all_workers(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2", SERVING_DRAIN_SECONDS="3600") as server:
        eventually(lambda: len(worker_pids(server)) == 2)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: said(server, "draining for 3600 s"))
        server.stop()
        assert server.process.returncode == 0


@pytest.mark.long
def test_workers_do_not_drain_when_their_supervisor_is_gone(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS="2", SERVING_DRAIN_SECONDS="3600") as server:
        eventually(lambda: len(worker_pids(server)) == 2)
        pids = worker_pids(server)
        server.stop(signal.SIGKILL)
        eventually(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.long
def test_sighup_loads_the_certificates_again_and_an_invalid_one_changes_nothing(
    store: SmallStore, tmp_path: Path
) -> None:
    store.publish(1)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    write_certificate(tmp_path, "first", now - DAY)
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
    with served(store, insecure, **tls(tmp_path)) as server:
        assert said(server, f"the TLS certificate ended on {(now - DAY).isoformat()}; replace it and send SIGHUP")
        assert common_name(server) == "CN=first"
        kept = server.client
        assert ends(kept) == (now - DAY).timestamp()
        for name, days in (("second", 2), ("third", 3)):
            write_certificate(tmp_path, name, now + days * DAY)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda name=name: common_name(server) == f"CN={name}")  # type: ignore[misc]
            # The connection from before goes on.
            assert ends(kept) == (now + days * DAY).timestamp()
        (tmp_path / "key").write_bytes(b"junk")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: said(server, "the previous certificates stay in force: Expected a certificate"))
        assert common_name(server) == "CN=third"
        assert ends(kept) == (now + 3 * DAY).timestamp()
        assert server.client.post(URL, json=score_request()).status_code == 200
        server.stop()
        assert said(server, "Application shutdown complete")


def ends(client: httpx.Client) -> float:
    """End of the certificate by the metric."""
    match = re.search(r"^serving_tls_certificate_end_seconds (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert match is not None
    return float(match[1])


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_ends_no_process_of_a_server_without_tls(store: SmallStore, workers: int) -> None:
    store.publish(1)
    with served(store, SERVING_WORKERS=str(workers)) as server:
        if workers > 1:
            eventually(lambda: len(worker_pids(server)) == workers)
            # A worker that has just been started has no handler yet.
            os.kill(worker_pids(server)[0], signal.SIGKILL)
            eventually(lambda: said(server, "restarting"))
            eventually(lambda: len(worker_pids(server)) == workers)
        server.process.send_signal(signal.SIGHUP)
        # A worker follows the signal once it has started.
        eventually(lambda: sum("SIGHUP changes nothing" in line for line in server.said) == workers, seconds=180)
        assert server.answers()
        assert "\nserving_tls_certificate_end_seconds " not in server.client.get("/metrics").text
        assert sum("restarting" in line for line in server.said) == workers - 1


@pytest.mark.long
def test_sighup_reaches_every_worker(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    write_certificate(tmp_path, "first", now + DAY)
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
    with served(store, insecure, SERVING_WORKERS="2", **tls(tmp_path)) as server:
        eventually(lambda: len(worker_pids(server)) == 2)
        write_certificate(tmp_path, "second", now + 2 * DAY)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: sum("were loaded again" in line for line in server.said) == 2)
        assert {common_name(server) for _ in range(20)} == {"CN=second"}


@pytest.mark.long
def test_the_keep_alive_time_is_a_setting(store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_KEEP_ALIVE_SECONDS="1") as server:
        with socket.create_connection((server.client.base_url.host, server.client.base_url.port or 0), 30) as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: risk\r\n\r\n")
            began = time.monotonic()
            while idle.recv(65536):
                pass
        assert time.monotonic() - began >= 0.9
