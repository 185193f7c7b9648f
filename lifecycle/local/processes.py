"""Starts, watches and stops the processes of one installation on one machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from lifecycle.errors import LifecycleError
from lifecycle.local.port_owner import listener_on
from lifecycle.local.process_identity import name_of
from lifecycle.local.up_record import UpRecord
from lifecycle.releases.mlflow_locations import artifacts_folder
from lifecycle.releases.mlflow_registry import Registry
from lifecycle.settings.child_environment import SERVER_PREFIXES, SETTINGS_PREFIX, child_environment
from lifecycle.settings.platform import PROJECT_ROOT, Settings
from lifecycle.signing.keys import ensure_keys

READY_TIMEOUT_SECONDS = 300.0
STOP_TIMEOUT_SECONDS = 15.0
KILL_TIMEOUT_SECONDS = 3.0


NO_JOB_PROCESSES = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""MLflow's server otherwise starts eight processes with 2 GB of memory for jobs that no one orders here."""


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the two UIs, the inference server and the reports."""

    dagster: int = 3000
    mlflow: int = 5000
    serving: int = 8000
    reports: int = 3001


@dataclass(frozen=True)
class Service:
    """A program to run: ready once `ready_path` answers with anything but a server error."""

    name: str
    arguments: Sequence[str]
    port: int
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    """Beginnings of the names of further variables that it gets from this process."""

    @property
    def url(self) -> str:
        """Base address of the service."""
        return f"http://127.0.0.1:{self.port}"


def services(settings: Settings, ports: Ports) -> list[Service]:
    """The Dagster UI with its daemon, the MLflow UI, the inference server and the server of reports."""
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    dagster = ["dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(ports.dagster)]
    store = Registry(settings.mlflow_dir).tracking_uri
    artifacts = str(artifacts_folder(settings.mlflow_dir))
    mlflow = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(ports.mlflow), "--workers", "1"]
    mlflow += ["--backend-store-uri", store, "--artifacts-destination", artifacts]
    server = serving_environment(settings, ports.serving)
    home = {
        "DAGSTER_HOME": str(settings.dagster_home),
        "LIFECYCLE_HOME": str(settings.root),
        "LIFECYCLE_DAGSTER_URL": f"http://127.0.0.1:{ports.dagster}",
        "LIFECYCLE_MLFLOW_URL": f"http://127.0.0.1:{ports.mlflow}",
        "LIFECYCLE_SERVING_URL": f"http://127.0.0.1:{ports.serving}",
        "LIFECYCLE_REPORTS_URL": f"http://127.0.0.1:{ports.reports}",
    }
    reports = _module("lifecycle.local.report_server", str(ports.reports))
    return [
        Service("dagster", _module(*dagster), ports.dagster, "/server_info", home, (SETTINGS_PREFIX,)),
        Service("mlflow", _module(*mlflow), ports.mlflow, "/health", NO_JOB_PROCESSES),
        Service("serving", _module("serving"), ports.serving, "/healthz", server, SERVER_PREFIXES),
        Service("reports", reports, ports.reports, "/healthz", home, (SETTINGS_PREFIX,)),
    ]


def _module(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def serving_environment(settings: Settings, port: int) -> dict[str, str]:
    """The server's settings: they contain the path of the public key, never that of the signing key."""
    keys = ensure_keys(settings)
    return {
        "SERVING_STORE": str(settings.release_store),
        "SERVING_PUBLIC_KEY": str(keys.public_key_path),
        "SERVING_PSEUDONYM_KEY": str(keys.pseudonym_key_path),
        "SERVING_LOG_DIR": str(settings.decision_log_dir),
        "SERVING_CACHE_DIR": str(settings.root / "serving_cache"),
        "SERVING_HOST": "127.0.0.1",
        "SERVING_PORT": str(port),
        # No load balancer is in front.
        "SERVING_DRAIN_SECONDS": "0",
    }


class Running:
    """Started services, stopped by the ids of the processes that were started."""

    def __init__(self, logs: Path, record: UpRecord | None = None) -> None:
        self._logs = logs
        self._record = record
        self._processes: list[tuple[Service, subprocess.Popen[bytes]]] = []

    def start(self, service: Service) -> None:
        """Start one service; its output goes to ``logs/<name>.log``.

        Raises
        ------
        LifecycleError
            If its port is taken.
        """
        expect_free_port(service)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._log(service).open("ab") as log:
            process = subprocess.Popen(
                service.arguments,
                env=child_environment(*service.prefixes) | dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=PROJECT_ROOT,
                # In its own process group, Ctrl-C does not reach it, and stopping the group stops its children.
                start_new_session=True,
            )
        self._processes.append((service, process))
        if self._record is not None:
            self._record.add(service.name, process.pid)

    def wait_until_ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Return once every service answers.

        Raises
        ------
        LifecycleError
            If one ended or does not answer in time; with the last lines it printed.
        """
        deadline = time.monotonic() + timeout_seconds
        for service, _ in self._processes:
            while not _is_ready(service):
                self.expect_alive()
                if time.monotonic() > deadline:
                    raise LifecycleError(
                        f"Expected {service.name} to answer at {service.url}{service.ready_path} within "
                        f"{timeout_seconds:.0f} s, got no answer - see {self._log(service)}\n{self._tail(service)}"
                    )
                time.sleep(0.2)

    def expect_alive(self) -> None:
        """Raise if a service has ended.

        Raises
        ------
        LifecycleError
            With the last lines that it printed.
        """
        for service, process in self._processes:
            status = process.poll()
            if status is not None:
                raise LifecycleError(
                    f"Expected {service.name} to run, it ended with status {status} - see {self._log(service)}\n"
                    f"{self._tail(service)}"
                )

    def watch(self, on_turn: Callable[[], None] = lambda: None) -> None:
        """Call `on_turn` twice a second until Ctrl-C; raises as `expect_alive` if a service ends by itself."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.expect_alive()
                on_turn()
                time.sleep(0.5)

    def stop(self) -> None:
        """Stop all services and their children: SIGTERM first, SIGKILL after a timeout."""
        for number, timeout_seconds in ((signal.SIGTERM, STOP_TIMEOUT_SECONDS), (signal.SIGKILL, KILL_TIMEOUT_SECONDS)):
            for _, process in reversed(self._processes):
                _signal_group(process, number)
            deadline = time.monotonic() + timeout_seconds
            while time.monotonic() < deadline and any(_is_group_alive(process) for _, process in self._processes):
                time.sleep(0.05)
        self._processes.clear()

    def _log(self, service: Service) -> Path:
        return self._logs / f"{service.name}.log"

    def _tail(self, service: Service, lines: int = 15) -> str:
        return "\n".join(self._log(service).read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def running(started: Sequence[Service], logs: Path, record: UpRecord | None = None) -> Iterator[Running]:
    """Run the services until the block ends, also by an error; `record` lists them for `lifecycle down`."""
    group = Running(logs, record)
    try:
        for service in started:
            group.start(service)
        group.wait_until_ready()
        yield group
    finally:
        group.stop()


def expect_free_port(service: Service) -> None:
    """Raise if the service's port is in use.

    Raises
    ------
    LifecycleError
        Naming the port and the option that chooses another one.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", service.port))
        except OSError:
            raise LifecycleError(
                f"Expected port {service.port} to be free for {service.name}, {_owner(service.port)} uses it; stop it "
                f"(`lifecycle down` if it is an installation's), or choose another port with --{service.name}-port"
            ) from None


def _owner(port: int) -> str:
    pid = listener_on(port)
    return "another user's process" if pid is None else name_of(pid)


def _is_ready(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}{service.ready_path}", timeout=2.0).status_code < 500
    except httpx.TransportError:
        return False


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _is_group_alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process or one of its children is running."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
