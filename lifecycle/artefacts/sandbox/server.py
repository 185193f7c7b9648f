"""The sandbox's server: the command ``python -m serving`` in a process of its own, on loopback, bounded in time."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from lifecycle.settings.child_environment import child_environment
from lifecycle.settings.platform import PROJECT_ROOT
from lifecycle.signing.keys import Keys

START_SECONDS = 120.0
"""Longest time until the server answers; some 3 s on an idle machine."""
_ADDRESS = re.compile(rb"serving on http://127\.0\.0\.1:(\d+)")
_LOOK_EVERY_SECONDS = 0.01


class NotStartedError(Exception):
    """The server did not start; the message says why, without a customer's value."""


class SandboxServer:
    """A started server.

    Parameters
    ----------
    folder
        The sandbox: release store, cache, decision log and output of the server.
    keys
        Temporary keys; the server gets the public key and the pseudonym key.

    Raises
    ------
    OSError
        If the process cannot be started.
    """

    def __init__(self, folder: Path, store: Path, keys: Keys) -> None:
        self._output = folder / "server.log"
        self._deadline = time.monotonic() + START_SECONDS
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lifecycle.artefacts.sandbox.child", str(os.getpid()), str(folder)],
                # No setting of this installation, above all none of the warehouse.
                env=child_environment() | _settings(folder, store, keys),
                cwd=PROJECT_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A process group of its own: Ctrl-C does not reach it, and its children are stopped with it.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def port(self) -> int:
        """The port that it listens on, once it has loaded its releases.

        Raises
        ------
        NotStartedError
            If it ended, or does not listen within `START_SECONDS`.
        """
        while True:
            status = self._process.poll()
            # The address is printed a moment before the socket listens.
            if (match := _ADDRESS.search(self._output.read_bytes())) and _is_listening(int(match[1])):
                return int(match[1])
            if status is not None:
                raise NotStartedError(f"the server ended with status {status}: {self.last_line()}")
            if time.monotonic() > self._deadline:
                raise NotStartedError(f"the server did not listen within {START_SECONDS:g} s: {self.last_line()}")
            time.sleep(_LOOK_EVERY_SECONDS)

    def last_line(self) -> str:
        """The last line that the server printed; its log has no customer's value."""
        lines = self._output.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

    def stop(self) -> None:
        """Kill the process with its children, and wait for its end; nothing of it is kept."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


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
