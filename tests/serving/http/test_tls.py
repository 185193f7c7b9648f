"""HTTPS by the real server, and what it says of files that do not fit."""

import asyncio
import datetime as dt
import socket
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serving.http.listener import listener_of
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.server_process import URL, failed_start, served
from tests.harness.small_models import SmallStore, golden_rows, score_request

PASSWORD = "pass4711word"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a certificate of its own authority, its key, and another key."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(PASSWORD.encode())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    contents = {
        "certificate": certificate.public_bytes(pem),
        "key": key.private_bytes(pem, pkcs8, plain),
        "other": other.private_bytes(pem, pkcs8, plain),
        "locked": key.private_bytes(pem, pkcs8, locked),
        "password": PASSWORD.encode() + b"\n",
        "wrong": b"another\n",
        "binary": b"\xff\xfe",
        "junk": b"junk\n",
    }
    for file, content in contents.items():
        (tmp_path / file).write_bytes(content)
    return tmp_path


def tls(files: Path, **names: str) -> dict[str, str]:
    return {f"SERVING_TLS_{setting.upper()}": str(files / name) for setting, name in names.items()}


def test_https_answers_whom_it_asks_for_a_certificate_and_nobody_else(store: SmallStore, files: Path) -> None:
    store.publish(1)
    settings = {"certificate": "certificate", "key": "locked", "key_password_file": "password"}
    trusted = ssl.create_default_context(cafile=files / "certificate")
    trusted.check_hostname = False
    stranger = ssl.create_default_context(cafile=files / "certificate")
    stranger.check_hostname = False
    trusted.load_cert_chain(files / "certificate", files / "key")
    with served(store, trusted, **tls(files, **settings, client_ca="certificate")) as server:
        row = golden_rows(1)[0]
        answer = server.client.post(URL, json=score_request(features=row.features))
        assert (answer.status_code, answer.json()["margin"]) == (200, row.margin)
        plain = str(server.client.base_url).replace("https", "http")
        for address, context in ((server.client.base_url, stranger), (plain, True)):
            with httpx.Client(base_url=address, verify=context) as client, pytest.raises(httpx.TransportError):
                client.get("/healthz")
        assert server.answers()
    assert PASSWORD not in "".join(server.said)


def test_a_caller_that_begins_no_handshake_is_closed_in_time(
    store: SmallStore, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold a file descriptor and is not counted, since no connection is made yet."""
    monkeypatch.setattr("serving.http.listener.HEAD_SECONDS", 0.2)
    store.publish(1)
    pair = {"ssl_certfile": files / "certificate", "ssl_keyfile": files / "key"}
    server = listener_of(create_app(settings_of(store)), shutdown_seconds=5, tls=lambda: pair)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = listening.getsockname()
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            reader, writer = await asyncio.open_connection(*address)
            assert await asyncio.wait_for(reader.read(), 30) == b""
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(run())


MISFITS = (
    {"certificate": "certificate", "key": "other"},
    {"certificate": "certificate"},
    {"key": "key"},
    {"certificate": "certificate", "key": "missing"},
    {"certificate": "junk", "key": "key"},
    {"certificate": "certificate", "key": "locked", "key_password_file": "wrong"},
    {"certificate": "certificate", "key": "locked", "key_password_file": "binary"},
    {"certificate": "certificate", "key": "key", "client_ca": "junk"},
)
"""Settings with which the server does not start, each in a process of its own."""


@pytest.mark.parametrize("names", [MISFITS[0], *(pytest.param(names, marks=pytest.mark.long) for names in MISFITS[1:])])
def test_files_that_do_not_fit_are_said_in_one_line(store: SmallStore, files: Path, names: dict[str, str]) -> None:
    stderr = failed_start(store, **tls(files, **names))
    assert stderr.startswith("Error: Expected ")
    assert stderr.count("\n") == 1
