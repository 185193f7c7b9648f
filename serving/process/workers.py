"""Several server processes at one address, started, restarted and stopped by a supervisor."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from serving.contract.documents import ContractError
from serving.settings import ServingSettings
from serving.storage.durable import write_file
from serving.telemetry.worker_metrics import forget, join, prepare

INDEX: Final = "SERVING_WORKER_INDEX"
PORT: Final = "SERVING_WORKER_PORT"
LIFELINE: Final = "SERVING_WORKER_LIFELINE"
METRICS: Final = "SERVING_WORKER_METRICS"

CANNOT_START: Final = 78
"""Exit status of a worker that cannot start with these settings (EX_CONFIG of sysexits.h); it printed the reason."""
STABLE_SECONDS: Final = 60.0
"""A worker that ran this long is restarted without a pause."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
_KILL_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.1
_STATE_FILE: Final = "workers.json"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """One worker process: when it began, how often it was started, and when it may start again."""

    index: int
    process: "subprocess.Popen[bytes] | None" = None
    began_at: float = 0.0
    starts: int = 0
    status: int | None = None
    pause_seconds: float = 0.0
    start_at: float = field(default_factory=time.monotonic)


class WorkerStates(msgspec.Struct, frozen=True):
    """Restarts of a server's workers since its start, and the workers that keep ending soon after their starts."""

    restarts: int = 0
    crash_loop: tuple[int, ...] = ()


def worker_states() -> WorkerStates | None:
    """What the supervisor of this worker has stored; ``None`` in a server without workers."""
    folder = os.environ.get(METRICS) if is_worker() else None
    if folder is None:
        return None
    try:
        return msgspec.json.decode((Path(folder) / _STATE_FILE).read_bytes(), type=WorkerStates)
    except (OSError, msgspec.DecodeError):
        return None


def is_worker() -> bool:
    """Whether this process was started by a supervisor."""
    return all(name in os.environ for name in (INDEX, PORT, LIFELINE, METRICS))


def worker_index() -> int:
    """Number of this worker, from 0 on."""
    return int(os.environ[INDEX])


def share_metrics() -> None:
    """Put this worker's metrics into the folder that all workers share; call before any metric is made."""
    join(Path(os.environ[METRICS]), worker_index())


def bound_socket(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A bound socket that does not listen yet, so that a busy port is reported before anything is loaded.

    Parameters
    ----------
    is_shared
        Whether several sockets of this server share the address (SO_REUSEPORT): the kernel spreads connections over
        those that listen, so a worker that died gets none.

    Raises
    ------
    ContractError
        If the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ContractError(
            f"Expected the address {host}:{port} to be free, got: {error.strerror}; stop the process that listens "
            "there or set SERVING_PORT"
        ) from error
    return bound


def shared_socket(settings: ServingSettings) -> socket.socket:
    """The socket that holds the address for all workers; raises as `bound_socket` if another process has it."""
    # Bound without SO_REUSEPORT first: another process that shares the address would not be noticed otherwise.
    with bound_socket(settings.host, settings.port) as exclusive:
        port = exclusive.getsockname()[1]
    return bound_socket(settings.host, port, is_shared=True)


def worker_socket(settings: ServingSettings) -> socket.socket:
    """This worker's own socket at the address that the supervisor holds."""
    return bound_socket(settings.host, int(os.environ[PORT]), is_shared=True)


def end_with_supervisor() -> None:
    """Stop this worker when its supervisor ends, for whatever reason."""
    descriptor = int(os.environ[LIFELINE])

    def wait() -> None:
        # Only the supervisor has the other end: the read returns when the system closes it.
        with contextlib.suppress(OSError):
            os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        # The second one ends the drain: a new supervisor needs the address.
        time.sleep(_WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


class Supervisor:
    """Keeps `settings.workers` processes running at the address of `bound` until SIGTERM or SIGINT."""

    def __init__(self, settings: ServingSettings, bound: socket.socket) -> None:
        self._settings = settings
        self._bound = bound
        self._workers = [Worker(index) for index in range(settings.workers)]
        self._is_stopping = False
        self._metrics = settings.cache_dir / "metrics"
        self._states: WorkerStates | None = None

    def run(self) -> int:
        """Start the workers and watch them; returns the exit status.

        Raises
        ------
        ContractError
            If the folder of the workers' metrics cannot be made.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._forward)
        try:
            prepare(self._metrics)
        except OSError as error:
            raise ContractError(f"Expected a writable folder, got {error.strerror} - at {self._metrics}") from error
        lifeline, supervisor_end = os.pipe()
        try:
            while not self._is_stopping:
                for worker in self._workers:
                    self._supervise(worker, lifeline)
                if all(worker.starts == 1 and worker.status == CANNOT_START for worker in self._workers):
                    return 1
                self._store_states()
                time.sleep(_WATCH_SECONDS)
        finally:
            self._end_workers()
            os.close(supervisor_end)
            os.close(lifeline)
        return 0

    def _supervise(self, worker: Worker, lifeline: int) -> None:
        now = time.monotonic()
        if worker.process is not None:
            status = worker.process.poll()
            if status is None:
                return
            forget(self._metrics, worker.index)
            lived = now - worker.began_at
            worker.process, worker.status = None, status
            if worker.starts == 1 and status == CANNOT_START:
                # If no other worker starts either, the supervisor ends.
                worker.pause_seconds = LONGEST_PAUSE_SECONDS
            else:
                worker.pause_seconds = next_pause(worker.pause_seconds, lived)
            worker.start_at = now + worker.pause_seconds
            pause = worker.pause_seconds
            logger.error(
                "worker %d exited with status %d after %.0f s, restarting in %.0f s", worker.index, status, lived, pause
            )
        if now >= worker.start_at:
            self._start(worker, lifeline)

    def _start(self, worker: Worker, lifeline: int) -> None:
        environment = {
            INDEX: str(worker.index),
            PORT: str(self._bound.getsockname()[1]),
            LIFELINE: str(lifeline),
            METRICS: str(self._metrics),
        }
        # The worker inherits the mask: SIGHUP waits until it has a handler.
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "serving"], env=os.environ | environment, pass_fds=(lifeline,)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        worker.began_at = time.monotonic()
        worker.starts += 1

    def _store_states(self) -> None:
        """Store the workers' restarts where every worker reads them for ``/readyz``."""
        now = time.monotonic()
        states = WorkerStates(
            restarts=sum(max(worker.starts - 1, 0) for worker in self._workers),
            crash_loop=tuple(worker.index for worker in self._workers if is_in_crash_loop(worker, now)),
        )
        if states != self._states:
            with contextlib.suppress(OSError):
                write_file(self._metrics / _STATE_FILE, msgspec.json.encode(states), is_sole_writer=True)
                self._states = states

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopping and number == signal.SIGTERM:
            # Ends the workers' drain.
            self._forward(number, frame)
        self._is_stopping = True

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.send_signal(number)

    def _end_workers(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_seconds + self._settings.shutdown_seconds + _KILL_SECONDS
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                logger.error("worker with process id %d did not stop in time and was killed", process.pid)
                process.kill()
                process.wait()


def is_in_crash_loop(worker: Worker, now: float) -> bool:
    """Whether a worker has ended twice within `STABLE_SECONDS` of its start, and was not stable since."""
    is_stable = worker.process is not None and now - worker.began_at >= STABLE_SECONDS
    return worker.pause_seconds > FIRST_PAUSE_SECONDS and not is_stable


def next_pause(previous_seconds: float, lived_seconds: float) -> float:
    """Seconds to wait before a restart: 0 after a stable run, else exponential from 1 s (1, 2, 4, ...).

    Examples
    --------
    >>> next_pause(0.0, 3600.0), next_pause(0.0, 5.0), next_pause(1.0, 5.0), next_pause(30.0, 5.0)
    (0.0, 1.0, 2.0, 30.0)
    """
    if lived_seconds >= STABLE_SECONDS:
        return 0.0
    return min(max(FIRST_PAUSE_SECONDS, previous_seconds * 2), LONGEST_PAUSE_SECONDS)
