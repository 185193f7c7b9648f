"""Other servers with the same booster, each in its own environment outside the repository."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving_models import BENCHMARK, Matrix, Trained
from benchmarks.serving_servers import Server, kept_port, start

INSTALL_SECONDS = 1200
START_SECONDS = 120.0
PEERS = ("mlserver", "mlserver, no pool", "mlflow")
"""MLServer with its default pool of one process, and with the model in the server's process."""
_REQUIREMENTS = {
    # Its pool asks for an event loop in a way that uvloop 0.22 rejects.
    "mlserver": ["mlserver==1.7.1", "mlserver-lightgbm==1.7.1", "uvloop<0.22"],
    "mlflow": ["mlflow>=3,<4"],
}
_ENVIRONMENT = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
_SAVE_FOR_MLFLOW = """
import sys, lightgbm, mlflow.lightgbm
mlflow.lightgbm.save_model(lightgbm.Booster(model_file=sys.argv[1]), sys.argv[2])
"""


class PeerError(RuntimeError):
    """A peer that could not be installed or started, with the reason."""


@dataclass(frozen=True)
class PeerRequests:
    """The same rows in one peer's protocol, without ids."""

    encoded: tuple[bytes, ...]
    counter: list[int]

    def take(self) -> tuple[int, bytes]:
        """The next request."""
        number = self.counter[0]
        self.counter[0] += 1
        return number, self.encoded[number % len(self.encoded)]


def default_folder() -> Path:
    """Where the environments are kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lifecycle-benchmarks"


def installed(peer: str, folder: Path) -> Path:
    """The Python of a peer's environment; installs a missing one.

    Raises
    ------
    PeerError
        If it cannot be installed, with the installer's last line.
    """
    requirements = [*_REQUIREMENTS[peer], f"lightgbm=={version('lightgbm')}"]
    home = folder / peer
    python, marker = home / "bin" / "python", home / ".installed"
    if marker.exists() and marker.read_text() == json.dumps(requirements):
        return python
    shutil.rmtree(home, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run(peer, [sys.executable, "-m", "venv", str(home)])
    _run(peer, [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    marker.write_text(json.dumps(requirements))
    return python


def start_peer(
    peer: str, environments: Path, trained: Trained, rows: Matrix, *, cores: frozenset[int], logs: Path
) -> tuple[Server, PeerRequests]:
    """Start a peer with the booster and one worker, as its documentation says, and return requests for it.

    Parameters
    ----------
    environments
        Folder of the peers' environments; missing ones are installed.
    logs
        Folder for the files that the peer reads and writes in this run.

    Raises
    ------
    PeerError
        If it cannot be installed, or does not answer.
    """
    program = peer.partition(",")[0]
    python = installed(program, environments)
    own = logs / peer.replace(", ", "_").replace(" ", "_")
    own.mkdir()
    model = own / "model.txt"
    model.write_text(trained.booster.model_to_string())
    port = kept_port()
    if program == "mlserver":
        pool = 0 if peer.endswith("no pool") else 1
        command, path, bodies = _mlserver(python, own, model, port, trained, rows, pool)
    else:
        command, path, bodies = _mlflow(python, own, model, port, trained, rows)
    try:
        server = start(
            peer,
            command,
            port=port,
            cores=cores,
            folder=logs,
            environment=_ENVIRONMENT | {"PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
            ready_path=f"/v2/models/{BENCHMARK}/ready" if program == "mlserver" else "/ping",
            seconds=START_SECONDS,
        )
    except RuntimeError as error:
        raise PeerError(str(error)) from error
    return server, PeerRequests(tuple(_request(path, body) for body in bodies), [0])


def _mlserver(
    python: Path, own: Path, model: Path, port: int, trained: Trained, rows: Matrix, pool: int
) -> tuple[list[str], str, list[Any]]:
    """Start command, path and bodies for MLServer, with or without a pool of processes."""
    settings: dict[str, Any] = {
        "http_port": port,
        "grpc_port": kept_port(),
        "metrics_port": kept_port(),
        "parallel_workers": pool,
    }
    # By default its metrics go to .metrics in the working folder.
    settings |= {"host": "127.0.0.1", "debug": False, "metrics_dir": str(own / "metrics")}
    (own / "settings.json").write_text(json.dumps(settings))
    described = {"name": BENCHMARK, "implementation": "mlserver_lightgbm.LightGBMModel"}
    (own / "model-settings.json").write_text(json.dumps({**described, "parameters": {"uri": str(model)}}))
    shape = [1, len(trained.features)]
    bodies = [
        {"inputs": [{"name": "predict", "shape": shape, "datatype": "FP64", "data": row}]} for row in rows.tolist()
    ]
    return [str(python.with_name("mlserver")), "start", str(own)], f"/v2/models/{BENCHMARK}/infer", bodies


def _mlflow(
    python: Path, own: Path, model: Path, port: int, trained: Trained, rows: Matrix
) -> tuple[list[str], str, list[Any]]:
    """``mlflow models serve`` with one worker."""
    saved = own / "saved"
    _run("mlflow", [str(python), "-c", _SAVE_FOR_MLFLOW, str(model), str(saved)])
    command = [str(python.with_name("mlflow")), "models", "serve", "--model-uri", str(saved), "--env-manager", "local"]
    columns = [feature.name for feature in trained.features]
    bodies = [{"dataframe_split": {"columns": columns, "data": [row]}} for row in rows.tolist()]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"], "/invocations", bodies


def _request(path: str, body: Any) -> bytes:
    encoded = json.dumps(body, separators=(",", ":")).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(encoded)}\r\n\r\n".encode() + encoded


def _run(peer: str, command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        lines = (getattr(error, "stderr", None) or f"{error}").strip().splitlines()
        raise PeerError(f"{peer}: {lines[-1] if lines else error}") from error
