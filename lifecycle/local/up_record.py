"""Record of what `lifecycle up` started, so that `lifecycle down` can stop it, also after the terminal is gone."""

import contextlib
import os
import signal
import time
from pathlib import Path

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.local.process_identity import identity_of, left_in_group, name_of
from serving.storage.durable import write_file

RECORD_FILE = "up.json"
SUPERVISOR = "lifecycle"


class StartedProcess(msgspec.Struct, frozen=True):
    """A process by its number and its start; a service leads a process group of its own."""

    name: str
    pid: int
    identity: str

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs, not another one that got its number, or a child that outlived it."""
        return identity_of(self.pid) == self.identity or bool(self.orphans)

    @property
    def orphans(self) -> list[int]:
        """What is left of a service's process group after its leader has ended."""
        return [] if self.name == SUPERVISOR else left_in_group(self.pid, self.identity)

    @property
    def shown(self) -> str:
        """The command line of the process, or of those that outlived it."""
        return ", ".join(name_of(pid) for pid in self.orphans or [self.pid])


class UpRecord:
    """The file ``up.json`` in an installation's folder: the supervisor first, then the services."""

    def __init__(self, root: Path) -> None:
        self._path = root / RECORD_FILE

    def read(self) -> list[StartedProcess]:
        """The recorded processes that are alive.

        Raises
        ------
        LifecycleError
            If the file cannot be read.
        """
        try:
            recorded = msgspec.json.decode(self._path.read_bytes(), type=list[StartedProcess])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            raise LifecycleError(f"Expected a list of processes, got {error}; remove it - in {self._path}") from error
        return [process for process in recorded if process.is_alive]

    def begin(self) -> None:
        """Record this process as the supervisor.

        Raises
        ------
        LifecycleError
            If processes of an earlier start are alive.
        """
        alive = self.read()
        if alive:
            names = ", ".join(f"{process.name} ({process.pid})" for process in alive)
            raise LifecycleError(
                f"Expected no running processes of this installation, found {names}; stop them with `lifecycle down` "
                f"- in {self._path}"
            )
        self._write([_started(SUPERVISOR, os.getpid())])

    def add(self, name: str, pid: int) -> None:
        """Record a service that was started."""
        self._write([*self.read(), _started(name, pid)])

    def end(self) -> None:
        """Forget everything, once it was stopped."""
        self._path.unlink(missing_ok=True)

    def _write(self, processes: list[StartedProcess]) -> None:
        write_file(self._path, msgspec.json.encode(processes))


def stop_recorded(root: Path, term_seconds: float, kill_seconds: float) -> list[str]:
    """Stop what is recorded and alive, and return what it was.

    The supervisor is asked first and stops its services; what is left gets SIGTERM, then SIGKILL, by process group.
    """
    record = UpRecord(root)
    found = record.read()
    stopped = [f"{process.name}: {process.shown}" for process in found]
    steps = [
        (signal.SIGTERM, [process for process in found if process.name == SUPERVISOR], term_seconds + kill_seconds),
        (signal.SIGTERM, found, term_seconds),
        (signal.SIGKILL, found, kill_seconds),
    ]
    for number, processes, timeout_seconds in steps:
        alive = [process for process in processes if process.is_alive]
        for process in alive:
            _signal(process, number)
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and any(process.is_alive for process in alive):
            time.sleep(0.05)
    record.end()
    return stopped


def _signal(process: StartedProcess, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.name == SUPERVISOR:
            os.kill(process.pid, number)
        else:
            os.killpg(process.pid, number)


def _started(name: str, pid: int) -> StartedProcess:
    return StartedProcess(name, pid, identity_of(pid) or "ended")
