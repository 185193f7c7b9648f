"""API keys and the command line as a caller and an operator meet them."""

import datetime as dt
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.access.commands import add, revoke
from serving.process.app import create_app
from serving.settings import ServingSettings
from tests.harness.api import URL, settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.paths import ROOT
from tests.harness.protocol_steps import record, tensors
from tests.harness.server_process import eventually
from tests.harness.small_models import MODEL, SmallStore, score_request

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


@pytest.mark.parametrize("path", ["/v2", f"/v2/models/{MODEL}", "/v2/secret-path", f"/v2/models/{MODEL}/infer"])
def test_the_open_inference_protocol_refuses_in_its_own_form(client: InProcessClient, path: str) -> None:
    method = "POST" if path.endswith("/infer") else "GET"
    refused = client.request(method, path)
    assert refused.status_code == 401
    assert {key: type(value) for key, value in refused.json().items()} == {"error": str}


@pytest.mark.parametrize("path", ["/version", "/invocations"])
def test_mlflows_protocol_refuses_in_its_own_form(client: InProcessClient, path: str) -> None:
    refused = client.request("POST" if path == "/invocations" else "GET", path)
    assert refused.status_code == 401
    assert list(refused.json()) == ["error_code", "message"]


def test_what_the_framework_refuses_has_the_form_of_its_protocol_too(client: InProcessClient, keys: Path) -> None:
    key, _ = add(keys, "everything", ["score", "read", "operate"], NOW)
    client.app.parts.look()
    headers = {"X-Api-Key": key}
    missing = client.request("GET", "/v2/secret-path", headers=headers)
    method = client.request("PUT", "/invocations", headers=headers)
    own = client.request("PUT", "/v1/models", headers=headers)
    assert (missing.status_code, missing.json()) == (404, {"error": "Expected an existing path"})
    assert (method.status_code, method.json()["error_code"]) == (405, "Http")
    assert (own.status_code, own.json()["error"]["kind"]) == (405, "Http")
    assert method.headers["Allow"] == "POST"


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


def test_the_help_explains_every_setting_and_starts_nothing() -> None:
    command = [sys.executable, "-m", "serving", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = re.findall(r"^  SERVING_(\w+) \(", shown, re.MULTILINE)
    assert named == [name.upper() for name in ServingSettings.model_fields]
    for name, field in ServingSettings.model_fields.items():
        assert field.description, name
        assert " ".join(field.description.replace("`", "").split()) in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 120
