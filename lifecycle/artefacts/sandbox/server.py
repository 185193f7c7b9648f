"""The sandbox's server: ``python -m serving`` in a process of its own, on loopback, bounded in time."""

import atexit
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from lifecycle.artefacts.sandbox.standby import Asked, Command, Look, Prepare, Start, Status, Stop
from lifecycle.settings.child_environment import child_environment
from lifecycle.settings.platform import PROJECT_ROOT
from lifecycle.signing.keys import Keys

START_SECONDS = 120.0
"""Longest time until the server answers; some 5 s for the first one of a process, then a tenth of a second."""
_ADDRESS = re.compile(rb"serving on http://127\.0\.0\.1:(\d+)")
_LOOK_EVERY_SECONDS = 0.01


class NotStartedError(Exception):
    """The server did not start; the message says why, without a customer's value."""


class StandbyProcess:
    """The process of `standby` that this process has started; it is kept for further servers until this one ends.

    Raises
    ------
    OSError
        In every method, if the process cannot be started, or has ended.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._turn = threading.Lock()
        process = subprocess.Popen(
            [sys.executable, "-m", "lifecycle.artefacts.sandbox.standby", str(os.getpid())],
            # No setting of this installation, above all none of the warehouse.
            env=child_environment(),
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A process group of its own: Ctrl-C does not reach it.
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise OSError("Expected pipes to the process on standby, got none")
        self._process, self._commands, self._answers = process, process.stdin, process.stdout
        atexit.register(self.close)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether this process started it, and it runs."""
        return self._owner == os.getpid() and self._process.poll() is None

    def prepare(self, *, is_explained: bool, is_single: bool) -> None:
        """Let it compile what a model needs, without waiting for it."""
        with self._turn:
            self._send(Prepare(is_explained, is_single))

    def ask(self, command: Asked) -> Status:
        """Send a command and return its answer."""
        with self._turn:
            self._send(command)
            line = self._answers.readline()
        if not line:
            raise ConnectionError("Expected an answer of the process on standby, it ended")
        return msgspec.json.decode(line, type=Status)

    def close(self) -> None:
        """End the process with its servers."""
        if self._owner == os.getpid():
            for pipe in (self._commands, self._answers):
                with contextlib.suppress(OSError):
                    pipe.close()
            self._process.wait()

    def _send(self, command: Command) -> None:
        self._commands.write(msgspec.json.encode(command) + b"\n")
        self._commands.flush()


_started: list[StandbyProcess] = []
_starting = threading.Lock()


def standby_process() -> StandbyProcess:
    """The process on standby of this process, started if necessary; raises `OSError` if it cannot be."""
    with _starting:
        if not _started or not _started[-1].is_usable:
            _started[:] = [StandbyProcess()]
        return _started[-1]


class SandboxServer:
    """A server for one candidate.

    Parameters
    ----------
    folder
        The sandbox: release store, cache, decision log and output of the server.
    keys
        Temporary keys; the server gets the public key and the pseudonym key.
    """

    def __init__(self, folder: Path, store: Path, keys: Keys) -> None:
        self._output = folder / "server.log"
        self._deadline = time.monotonic() + START_SECONDS
        self._standby = standby_process()
        environment = child_environment() | _settings(folder, store, keys)
        self.pid = self._standby.ask(Start(str(folder), str(self._output), environment)).pid
        """Id of the process."""

    def port(self) -> int:
        """The port that it listens on.

        Raises
        ------
        NotStartedError
            If it ended, or does not listen within `START_SECONDS`.
        OSError
            If the process on standby ended.
        """
        while True:
            status = self._standby.ask(Look(self.pid)).exit_status
            said = self._output.read_bytes() if self._output.exists() else b""
            # The address is printed a moment before the socket listens.
            if (match := _ADDRESS.search(said)) and _is_listening(int(match[1])):
                return int(match[1])
            if status is not None:
                raise NotStartedError(f"the server ended with status {status}: {self.last_line()}")
            if time.monotonic() > self._deadline:
                raise NotStartedError(f"the server did not listen within {START_SECONDS:g} s: {self.last_line()}")
            time.sleep(_LOOK_EVERY_SECONDS)

    def last_line(self) -> str:
        """The last line that the server printed; its log has no customer's value."""
        lines = self._output.read_text(errors="replace").split("\n") if self._output.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

    def stop(self) -> None:
        """Kill the process with its children, and wait for its end; nothing of it is kept."""
        with contextlib.suppress(OSError):  # the process on standby has ended, and the server with it
            self._standby.ask(Stop(self.pid))


def _is_listening(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _settings(folder: Path, store: Path, keys: Keys) -> dict[str, str]:
    return {
        "SERVING_STORE": str(store),
        "SERVING_PUBLIC_KEY": str(keys.public_key_path),
        "SERVING_PSEUDONYM_KEY": str(keys.pseudonym_key_path),
        "SERVING_LOG_DIR": str(folder / "log"),
        "SERVING_CACHE_DIR": str(folder / "cache"),
        "SERVING_HOST": "127.0.0.1",
        "SERVING_PORT": "0",
        # The probe asks for polls itself, and a busy machine must refuse no request.
        "SERVING_POLL_SECONDS": "86400",
        "SERVING_REQUEST_TIMEOUT_SECONDS": "60",
    }
