"""A real Prometheus on loopback, and a store for the real server that it scrapes."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lifecycle.local.ports import free_port
from tests.harness.paths import ROOT

DEPLOY = ROOT / "deploy"


def program(name: str) -> str:
    """Where a service's program lies; `make test-services` puts it on the PATH."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"Expected {name} on the PATH, found none; run make test-services")
    return found


def promtool(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run promtool to its end; what it says is in the answer, on failure as well."""
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False, **options)


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus and its HTTP API."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    said: Path

    def ask(self, path: str, **parameters: Any) -> Any:
        """The `data` of an answer; fails with what Prometheus complains of."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, expression: str) -> list[float]:
        """The values of an instant query, one a series."""
        return [float(series["value"][1]) for series in self.ask("query", query=expression)["result"]]

    def shows(self, expression: str, value: float) -> None:
        """Wait until an instant query has this one value; a scrape that took too long leaves it without."""
        self.eventually(lambda: self.values(expression) == [value])

    def firing(self) -> dict[str, dict[str, Any]]:
        """The firing alerts by name."""
        return {
            alert["labels"]["alertname"]: alert for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"
        }

    def eventually(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in time; Prometheus said:\n{self.said.read_text()}"
            time.sleep(0.1)

    def fires(self, name: str) -> dict[str, Any]:
        """Wait until this alert fires; the alert."""
        found: dict[str, dict[str, Any]] = {}

        def is_firing() -> bool:
            found.update(self.firing())
            return name in found

        self.eventually(is_firing)
        return found[name]

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.said.read_text()
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/-/ready").status_code == 200
        return False


def configuration(folder: Path, targets: list[str], key: str, lifecycle: str | None = None) -> Path:
    """The deployed configuration and rules for these targets, at the pace of a test.

    `lifecycle` is the address of the lifecycle's metrics; without one, their job and their rules are left out.
    """
    (folder / "key").write_text(key)
    document = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    if lifecycle is None:
        document["rule_files"].remove("lifecycle_alerts.yml")
    for file in document["rule_files"]:
        text = (DEPLOY / "prometheus" / file).read_text()
        (folder / file).write_text(re.sub(r"(?m)^( +for: ).*$", r"\g<1>0s", text))
    pace = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    document["global"] |= pace
    server, lifecycles = document["scrape_configs"]
    server["authorization"]["credentials_file"] = str(folder / "key")
    server["static_configs"] = [{"targets": targets}]
    lifecycles |= {"scrape_interval": "500ms", "scrape_timeout": "500ms", "static_configs": [{"targets": [lifecycle]}]}
    document["scrape_configs"] = [server] if lifecycle is None else [server, lifecycles]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(document))
    return path


@contextlib.contextmanager
def scraping(
    folder: Path, targets: list[str], key: str = "unused", lifecycle: str | None = None
) -> Iterator[Prometheus]:
    """Prometheus with the deployed rules while it scrapes `targets`; it listens on loopback alone."""
    folder.mkdir()
    with free_port() as port, started(folder, port, configuration(folder, targets, key, lifecycle)) as prometheus:
        yield prometheus


@contextlib.contextmanager
def started(folder: Path, port: int, configured: Path) -> Iterator[Prometheus]:
    said = folder / "prometheus.log"
    command = [
        program("prometheus"),
        f"--config.file={configured}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with said.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    prometheus = Prometheus(process, client, said)
    try:
        prometheus.eventually(prometheus.is_ready)
        yield prometheus
    finally:
        client.close()
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
