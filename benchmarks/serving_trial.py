"""Shared by the trials of serving under faults: a released model, a server for it, and the form of a result."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.serving_claims import Claim
from benchmarks.serving_models import BENCHMARK, Home, Trained, train_benchmark
from benchmarks.serving_servers import ROOT, Cores, Server, start_scorer
from serving.contract.documents import DecisionRecord
from serving.log.segments import read_records


class Answered(msgspec.Struct, frozen=True, gc=False):
    """Fields of a score answer that the trials check."""

    bundle_digest: str
    release_number: int
    margin: float


@dataclass(frozen=True)
class Outcome:
    """A trial's figures and claims; `columns` says how the table shows the figures."""

    trial: str
    rows: list[dict[str, Any]]
    columns: Mapping[str, str]
    claims: list[Claim]
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ground:
    """A folder with a released model in it."""

    folder: Path
    cores: Cores
    home: Home
    trained: Trained
    bundle_digest: str

    def start(self, environment: Mapping[str, str], **settings: str) -> Server:
        """Start a server for the model."""
        return start_scorer("score", environment, cores=self.cores.servers, folder=self.folder, **settings)


@contextmanager
def ground(cores: Cores, trained: Trained | None = None) -> Iterator[Ground]:
    """A new home on the repository's disk with the benchmark's model released in it."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".serving-") as folder:
        model = trained or train_benchmark()
        home = Home.under(Path(folder) / "home")
        bundle_digest = home.seal(model)
        home.publish(BENCHMARK, bundle_digest)
        yield Ground(Path(folder), cores, home, model, bundle_digest)


def decisions(log_dir: Path) -> Iterator[DecisionRecord]:
    """The decisions in a log, rejected requests left out."""
    for logged in read_records(log_dir):
        # Rejections share the log where the server records them.
        if isinstance(logged.record, DecisionRecord):
            yield logged.record


def verified(log_dir: Path) -> tuple[bool, str]:
    """Whether the log is complete, and the verifier's output."""
    if find_spec("serving.log.verify") is None:
        return True, f"{sum(1 for _ in read_records(log_dir))} records decoded; this server has no verifier"
    command = [sys.executable, "-m", "serving.log.verify", str(log_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode == 0, (done.stdout or done.stderr).strip()


def release_in(body: bytes) -> int | None:
    """The release that an answer of ``/v1/models`` shows for the model."""
    models = json.loads(body)["models"]
    return next((each["release_number"] for each in models if each["model"] == BENCHMARK), None)
