"""Runs the client of OpenSSF Model Signing without a network, in a process of its own.

``python -m tests.harness.model_signing_client verify key ...``: the arguments are the client's.
"""

import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from tests.harness.paths import ROOT


def verified(bundle: Path, public_key: Path) -> subprocess.CompletedProcess[str]:
    """The client's answer on a bundle, with the options of docs/signatures.md."""
    options = ["--signature", str(bundle / "model.sig"), "--public_key", str(public_key), "--no-ignore-git-paths"]
    return client("verify", "key", str(bundle), *options)


def client(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The client's answer on a command line."""
    command = [sys.executable, "-m", "tests.harness.model_signing_client", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def _refuse(*_arguments: Any) -> NoReturn:
    raise AssertionError("Expected no connection, the client opens one")


if __name__ == "__main__":
    socket.socket.connect = _refuse  # type: ignore[method-assign]
    socket.getaddrinfo = _refuse  # type: ignore[assignment]
    runpy.run_module("model_signing", run_name="__main__", alter_sys=True)
