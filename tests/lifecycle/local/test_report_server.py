"""The server of reports: HTML files of the reports' folder and nothing else, for loopback hosts."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.local.processes import Ports, services
from lifecycle.local.report_server import ReportServer, report_file
from lifecycle.settings.platform import Settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "reports" / "toy"
    folder.mkdir(parents=True)
    (folder / "drift-2024-02-01.html").write_text("<p>the page</p>")
    (folder / "notes.txt").write_text("no report")
    (tmp_path / "home" / "secret.html").write_text("secret")
    (folder / "link.html").symlink_to(tmp_path / "home" / "secret.html")
    return tmp_path / "home"


@pytest.fixture
def port(home: Path) -> Iterator[int]:
    with ReportServer(Settings(home=home), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def answer(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_a_report_is_served_and_listed(port: int) -> None:
    assert answer(port, "/toy/drift-2024-02-01.html") == (200, "<p>the page</p>")
    assert answer(port, "/toy/drift-2024-02-01.html", "HEAD") == (200, "")
    status, index = answer(port, "/")
    assert status == 200
    assert '<a href="/toy/drift-2024-02-01.html">toy/drift-2024-02-01.html</a>' in index
    assert "secret" not in index
    assert "link.html" not in index
    assert answer(port, "/healthz") == (200, "ok\n")


def test_the_metrics_are_served_in_prometheus_format_and_survive_damage(port: int, home: Path) -> None:
    folder = home / "evidence" / "toy" / "drift"
    folder.mkdir(parents=True)
    (folder / "2024-02-01.json").write_text("{")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    body = response.read().decode()
    assert response.status == 200
    assert str(response.getheader("Content-Type")).startswith("text/plain; version=")
    assert 'lifecycle_unreadable_files{kind="drift",model="toy"} 1.0\n' in body
    assert answer(port, "/metrics", "HEAD") == (200, "")
    assert answer(port, "/metrics", Host="evil.example")[0] == 403
    assert '<a href="/metrics">' in answer(port, "/")[1]


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/",
        "/toy/notes.txt",
        "/toy/link.html",
        "/../secret.html",
        "/toy/../../secret.html",
        "/%2e%2e/secret.html",
        "/toy/..%2f..%2fsecret.html",
        "//etc/passwd",
        "/toy",
        "/toy/none.html",
        "/toy/%00.html",
        "/" + "a" * 5000 + ".html",
    ],
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    assert answer(port, path) == (404, "No such report\n")


@pytest.mark.parametrize(("host", "status"), [("localhost:3001", 200), ("127.0.0.1", 200), ("evil.example", 403)])
def test_only_a_loopback_host_is_answered(port: int, host: str, status: int) -> None:
    assert answer(port, "/toy/drift-2024-02-01.html", Host=host)[0] == status


def test_a_request_that_would_write_is_refused(port: int) -> None:
    assert answer(port, "/toy/drift-2024-02-01.html", "POST")[0] == 501


def test_a_path_is_a_report_only_within_the_folder(home: Path) -> None:
    assert report_file(home / "reports", "toy/drift-2024-02-01.html") == home / "reports/toy/drift-2024-02-01.html"
    assert report_file(home / "reports", str(home / "secret.html")) is None
    assert report_file(home / "none", "toy/drift-2024-02-01.html") is None


def test_the_installation_serves_the_address_that_dagster_links(home: Path) -> None:
    started = {service.name: service for service in services(Settings(home=home), Ports(reports=3123))}
    reports, dagster = started["reports"], started["dagster"]
    assert dagster.environment["LIFECYCLE_REPORTS_URL"] == reports.url == "http://127.0.0.1:3123"
    assert list(reports.arguments[1:]) == ["-m", "lifecycle.local.report_server", "3123"]
    assert reports.environment["LIFECYCLE_HOME"] == str(home)
    assert reports.prefixes == ("LIFECYCLE_",), "it lists the models of LIFECYCLE_MODELS"
