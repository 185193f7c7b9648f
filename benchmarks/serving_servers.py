"""Servers as the benchmarks run them: processes of their own, pinned away from the load, watched through ``/proc``."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lifecycle.local.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
_ports = contextlib.ExitStack()
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Cores(NamedTuple):
    """Cores of the servers and of the load."""

    servers: frozenset[int]
    load: frozenset[int]

    @property
    def are_apart(self) -> bool:
        """Whether the load and the servers use different cores."""
        return not self.servers & self.load


def split_cores() -> Cores:
    """The first core that this process may use for the servers, the last one for the load.

    First and last, since neighbours in number can be two threads of one core. With a single core both share it.
    """
    if not hasattr(os, "sched_getaffinity"):
        every = frozenset(range(os.cpu_count() or 1))
        return Cores(every, every)
    usable = sorted(os.sched_getaffinity(0))
    return Cores(frozenset(usable[:1]), frozenset(usable[-1:]))


@contextlib.contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread, and the processes it starts, on these cores while the block lasts."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Footprint(NamedTuple):
    """Resources of a server and its child processes."""

    resident_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Server:
    """A running server. It leads a process group; all its figures are the group's."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    output: Path

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        fields = [_stat(pid) for pid in self.members()]
        return sum(int(each[11]) + int(each[12]) for each in fields if each) / _TICKS

    def footprint(self, of_members: Sequence[int] | None = None) -> Footprint:
        """Memory, open descriptors and threads at this moment, of some of its processes or of all."""
        members = self.members() if of_members is None else of_members
        fields = [each for each in map(_stat, members) if each]
        descriptors = 0
        for pid in members:
            with contextlib.suppress(OSError):
                descriptors += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  # a folder of numbers, not of paths
        resident = sum(int(each[21]) for each in fields) * _PAGE_BYTES / 2**20
        return Footprint(resident, descriptors, sum(int(each[17]) for each in fields))

    def get(self, path: str) -> Any:
        """The JSON document at a path."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return json.load(response)

    def kill(self) -> None:
        """Kill every process of its group with SIGKILL, like a crash."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it with SIGTERM, and kill it if it does not end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.kill()

    def tail(self) -> str:
        """The last lines it wrote."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-12:])

    def members(self) -> list[int]:
        """The ids of its processes; finding them looks at every process of the machine."""
        group = str(self.process.pid)
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in numbers if (fields := _stat(pid)) and fields[2] == group]


def start(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    cores: frozenset[int],
    folder: Path,
    environment: Mapping[str, str],
    ready_path: str | None = None,
    seconds: float = 60.0,
) -> Server:
    """Start a server and wait until it answers.

    Parameters
    ----------
    ready_path
        Must answer with 200; without one the port must take connections.

    Raises
    ------
    RuntimeError
        If it ends or is not ready in time; with the last lines it wrote.
    """
    output = folder / f"{name.replace(' ', '_')}.log"
    with pinned(cores), output.open("ab") as written:
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(name, port, process, output)
    deadline = time.monotonic() + seconds
    while not _is_ready(port, ready_path):
        if process.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise RuntimeError(f"Expected {name} to answer at port {port}, got none; it wrote:\n{server.tail()}")
        time.sleep(0.02)
    return server


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, stopped when the block ends."""
    try:
        yield server
    finally:
        server.stop()


def start_scorer(
    name: str, environment: Mapping[str, str], *, cores: frozenset[int], folder: Path, **settings: str
) -> Server:
    """Start the project's own server; `settings` are its ``SERVING_*`` variables, in lower case."""
    port = kept_port()
    chosen = {f"SERVING_{key.upper()}": value for key, value in settings.items()}
    return start(
        name,
        [sys.executable, "-m", "serving"],
        port=port,
        cores=cores,
        folder=folder,
        environment={**environment, "SERVING_PORT": str(port), "SERVING_WORKERS": "1", **chosen},
        ready_path="/readyz",
    )


def start_echo(answer_bytes: Mapping[str, int], *, cores: frozenset[int], folder: Path) -> Server:
    """Start the bare echo on the server program that the project's own server runs on, with the same settings."""
    port = kept_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.serving_echo:echo", "--port", str(port)]
    command += [
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--no-server-header",
        "--no-proxy-headers",
        "--lifespan",
        "off",
    ]
    sizes = {"BENCHMARK_ANSWER_BYTES": json.dumps(dict(answer_bytes))}
    return start("echo", command, port=port, cores=cores, folder=folder, environment=sizes)


def kept_port() -> int:
    """A free port that no other caller gets while this process runs."""
    return _ports.enter_context(free_port())


def _is_ready(port: int, path: str | None) -> bool:
    if path is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _stat(pid: int) -> list[str] | None:
    """Fields of ``/proc/<pid>/stat`` from the third on, ``None`` if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
