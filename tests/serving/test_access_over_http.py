"""API keys, TLS and the command line as a caller and an operator meet them."""

import datetime as dt
import ipaddress
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serving.app import create_app
from serving.key_commands import add, revoke
from serving.settings import ServingSettings
from tests.serving.in_process import InProcessClient
from tests.serving.protocol_steps import record, tensors
from tests.serving.small_models import MODEL, SmallStore, score_request
from tests.serving.test_api import URL, settings_of
from tests.serving.test_server_process import ROOT, eventually, failed_start, served

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
OPEN = ["/healthz", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/ready"]
READ = [
    "/v1/models",
    f"/v1/models/{MODEL}",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/v2",
    f"/v2/models/{MODEL}",
    "/version",
]
SCORE: dict[str, Any] = {
    URL: score_request("native"),
    f"{URL}/batch": {"requests": [score_request("batch")]},
    f"/v2/models/{MODEL}/infer": tensors(score_request("v2")),
    "/invocations": {"dataframe_records": [record("mlflow")]},
}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


@pytest.fixture
def client(store: SmallStore, keys: Path) -> Iterator[InProcessClient]:
    store.publish(1)
    add(keys, "first", ["read"], NOW)
    with InProcessClient(create_app(settings_of(store, api_keys=keys, poll_seconds=0.05))) as client:
        yield client


def statuses(client: InProcessClient, headers: dict[str, str]) -> dict[str, set[int]]:
    """What each kind of path answers to a caller."""
    found = {
        "open": {client.request("GET", path, headers=headers).status_code for path in OPEN},
        "read": {client.request("GET", path, headers=headers).status_code for path in READ},
        "score": {client.request("POST", path, json=body, headers=headers).status_code for path, body in SCORE.items()},
    }
    return found | {"operate": {client.request("POST", "/v1/poll", headers=headers).status_code}}


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
@pytest.mark.parametrize("scope", ["score", "read", "operate"])
def test_a_key_opens_the_paths_of_its_scope_and_no_others(
    client: InProcessClient, keys: Path, scope: str, header: str
) -> None:
    key, _ = add(keys, "engine", [scope], NOW)
    client.app.parts.look()
    found = statuses(client, {header: f"Bearer {key}" if header == "Authorization" else key})
    expected = {kind: {200} if kind in {"open", scope} else {403} for kind in found}
    assert found == expected


@pytest.mark.parametrize("headers", [{}, {"X-Api-Key": "risk_" + "x" * 43}, {"Authorization": "Basic YTpi"}])
def test_without_a_valid_key_only_health_answers(client: InProcessClient, headers: dict[str, str]) -> None:
    found = statuses(client, headers)
    assert found == {"open": {200}, "read": {401}, "score": {401}, "operate": {401}}
    unknown = client.request("GET", "/secret-path", headers=headers)
    assert unknown.status_code == 401, "what paths there are is not said either"


def test_keys_are_rotated_while_the_server_runs(client: InProcessClient, keys: Path, store: SmallStore) -> None:
    old, _ = add(keys, "engine-1", ["score"], NOW)
    eventually(lambda: status(client, old, "a") == 200)
    new, _ = add(keys, "engine-2", ["score"], NOW)
    eventually(lambda: status(client, new, "b") == 200)
    assert status(client, old, "c") == 200, "both are valid until the old one is revoked"
    revoke(keys, "engine-1", NOW)
    eventually(lambda: status(client, old, "d") == 401)
    assert status(client, new, "e") == 200
    callers = {entry.decision_id: entry.caller for entry in store.decisions()}
    assert (callers["a"], callers["b"], callers["c"], callers["e"]) == ("engine-1", "engine-2", "engine-1", "engine-2")


def status(client: InProcessClient, key: str, decision_id: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return client.request("POST", URL, json=score_request(decision_id), headers=headers).status_code


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that signs itself, its key, and the same key with a password."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "risk-server")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encodings = {
        "key.pem": serialization.NoEncryption(),
        "locked.pem": serialization.BestAvailableEncryption(b"secret"),
    }
    for file, encryption in encodings.items():
        (folder / file).write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
    (folder / "password").write_text("secret\n")
    return folder


def test_a_server_speaks_tls_alone_and_demands_a_client_certificate_where_it_is_told(
    store: SmallStore, certificate: Path
) -> None:
    store.publish(1)
    environment = {
        "SERVING_TLS_CERTIFICATE": str(certificate / "certificate.pem"),
        "SERVING_TLS_KEY": str(certificate / "locked.pem"),
        "SERVING_TLS_KEY_PASSWORD_FILE": str(certificate / "password"),
        "SERVING_TLS_CLIENT_CA": str(certificate / "certificate.pem"),
    }
    trusting = ssl.create_default_context(cafile=certificate / "certificate.pem")
    known = ssl.create_default_context(cafile=certificate / "certificate.pem")
    known.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    with served(store, known, **environment) as server:
        url = str(server.client.base_url).rstrip("/")
        assert url.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=url, verify=known) as client:
            assert client.post(URL, json=score_request()).status_code == 200
        with httpx.Client(base_url=url, verify=trusting) as client, pytest.raises(httpx.TransportError):
            client.get("/healthz")
        with httpx.Client(base_url=url.replace("https", "http")) as client, pytest.raises(httpx.TransportError):
            client.get("/healthz")


def test_incomplete_tls_settings_are_said_at_the_start(store: SmallStore, certificate: Path) -> None:
    missing = failed_start(store, SERVING_TLS_CERTIFICATE=str(certificate / "certificate.pem"))
    assert missing == "Error: Expected the certificate's private key - at SERVING_TLS_KEY\n"
    alone = failed_start(store, SERVING_TLS_KEY=str(certificate / "key.pem"))
    assert "beside the other TLS settings - at SERVING_TLS_CERTIFICATE" in alone


def test_the_help_explains_every_setting_and_starts_nothing() -> None:
    command = [sys.executable, "-m", "serving", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = re.findall(r"^  SERVING_(\w+) \(", shown, re.MULTILINE)
    assert named == [name.upper() for name in ServingSettings.model_fields]
    for name, field in ServingSettings.model_fields.items():
        assert field.description, name
        assert " ".join(field.description.replace("`", "").split()) in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 120
