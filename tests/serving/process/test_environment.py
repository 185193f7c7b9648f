"""The environment of a platform: what it sets for other programs is ignored, or said in one line."""

import pytest

from serving.settings import ServingSettings
from tests.harness.server_process import URL, eventually, failed_start, served
from tests.harness.small_models import SmallStore, score_request

PLATFORM = {
    "SERVING_SERVICE_HOST": "10.0.0.1",
    "SERVING_SERVICE_PORT": "80",
    "SERVING_PORT_80_TCP": "tcp://10.0.0.1:80",
    "SERVING_PORT_80_TCP_PORT": "80",
    "SERVING_STORE_PORT": "tcp://10.0.0.2:80",
    "SERVING_WORKER_INDEX": "0",
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent/metrics",
    "prometheus_multiproc_dir": "/nonexistent/metrics",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "10s",
    "OTEL_BSP_EXPORT_TIMEOUT": "30s",
    "OTEL_TRACES_SAMPLER": "no sampler",
    "OTEL_PYTHON_CONTEXT": "",
    "WEB_CONCURRENCY": "auto",
    "UVICORN_PORT": "http",
    "UVICORN_WORKERS": "auto",
    "FORWARDED_ALLOW_IPS": "everyone",
    "PORT": "http",
    "SERVING_TLS_CERTIFICATE": "",
    "SERVING_WORKERS": "",
    "SERVING_REQUIRED_MODELS": "",
    "SERVING_SHIP_TO": "",
    "SERVING_OTLP_ENDPOINT": "",
}


@pytest.mark.long
@pytest.mark.parametrize("workers", ["", pytest.param("2", marks=pytest.mark.long)])
def test_a_platforms_variables_do_not_break_the_server(store: SmallStore, workers: str) -> None:
    store.publish(1)
    with served(store, **PLATFORM | {"SERVING_WORKERS": workers}) as server:
        assert server.client.post(URL, json=score_request()).status_code == 200
        eventually(lambda: f"serving_workers {workers or 1}.0" in server.client.get("/metrics").text)
        server.stop()
    assert [line for line in server.said if "Traceback" in line or " ERROR " in line] == []
    assert any("spans are not exported: Expected http/protobuf, got another protocol" in line for line in server.said)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SERVING_PORT": "http"}, "unable to parse string as an integer - at SERVING_PORT"),
        ({"SERVING_REQUIRED_MODELS": "card_fraud"}, 'Expected a JSON list such as ["card_fraud"] - at SERVING_REQ'),
        ({"SERVING_WORKERS": "auto"}, "unable to parse string as an integer - at SERVING_WORKERS"),
    ],
)
def test_a_setting_that_cannot_be_read_is_said_in_one_line(
    store: SmallStore, environment: dict[str, str], expected: str
) -> None:
    stderr = failed_start(store, **environment)
    assert expected in stderr
    assert stderr.startswith("Error: ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:80", "udp://10.0.0.1:80"])
def test_the_link_of_a_kubernetes_service_is_not_the_servers_port(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    for name, value in store.environment(SERVING_PORT=address).items():
        monkeypatch.setenv(name, value)
    assert ServingSettings().port == 8080
    assert "SERVING_PORT is the address of a Kubernetes service and was ignored; the port is 8080" in caplog.text
