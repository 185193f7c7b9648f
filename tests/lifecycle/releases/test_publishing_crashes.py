"""Killed at each point between two writes, then run again, publishing comes to the end it would have come to."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.verify import verify_ledger
from lifecycle.releases.store import ReleaseStore
from serving.artefacts.bundle import read_bundle
from serving.contract.documents import Release
from serving.storage.crash_points import CRASH_AT_VARIABLE, TRACE_VARIABLE
from tests.harness.paths import ROOT
from tests.harness.publishing_steps import take
from tests.harness.small_models import MODEL, SmallStore, candidate_files

STEPS = ("publish 1", "publish 2", "rollback 2", "canary 3", "shadow 2", "end_canary", "freeze")
SEALED = ["bundle.signed", "bundle.sealed", "release.written", "release.linked"]
STEPS_OF_AN_APPEND = [f"ledger.{file}.{step}" for file in ("record", "checkpoint") for step in ("written", "flushed")]


def appends(count: int) -> list[str]:
    """The points of so many appends to the ledger."""
    return [f"{point}:{turn}" for turn in range(1, count + 1) for point in STEPS_OF_AN_APPEND]


QUICK = "canary 3"
"""The step whose crash points `make test` tries; `make test-all` tries all."""
POINTS = {
    "publish 1": [
        *(
            f"keys.{key}.{step}"
            for key in ("signing_key", "public_key", "pseudonym_key", "model_signing_key", "model_public_key")
            for step in ("written", "linked")
        ),
        *SEALED,
        *appends(3),
    ],
    "rollback 2": ["release.written", "release.linked", *appends(2)],
    "canary 3": [*SEALED, *appends(2)],
    "shadow 2": [*SEALED, *appends(2)],
    "end_canary": ["release.written", "release.linked", *appends(2)],
    "freeze": ["freeze.written", "freeze.linked", *appends(2)],
}


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three candidates, so that a child process need not train."""
    folder = tmp_path_factory.mktemp("candidates")
    for seed in (1, 2, 3):
        (folder / str(seed)).mkdir()
        for name, content in candidate_files(seed).items():
            (folder / str(seed) / name).write_bytes(content)
    return folder


def child(step: str, home: Path, candidates: Path, **environment: str) -> int:
    """Take a step in a process of its own and return how that ended."""
    command = [sys.executable, "-m", "tests.harness.publishing_steps", step, str(home), str(candidates)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode


@pytest.fixture(scope="module")
def home_before(candidates: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Copies an installation in which all steps before a step have been taken; ``"end"`` stands for all steps."""
    stages = {STEPS[0]: tmp_path_factory.mktemp("stages") / "0"}
    stages[STEPS[0]].mkdir()
    for number, (step, following) in enumerate(pairwise((*STEPS, "end")), start=1):
        stages[following] = stages[step].with_name(str(number))
        shutil.copytree(stages[step], stages[following])
        take(step, stages[following], candidates)

    def copied(step: str, to: Path) -> Path:
        return Path(shutil.copytree(stages[step], to))

    return copied


def state(home: Path) -> tuple[list[tuple[str | None, str | None, str | None, int | None]], list[str], int]:
    """What publishing left behind, without the times."""
    store = SmallStore.under(home)
    root = store.settings.release_store
    bundles = sorted(path.name for path in (root / "bundles").glob("[0-9a-f]*"))
    for name in bundles:
        read_bundle(root / "bundles" / name, store.keys.public_keys)
    history = ReleaseStore(root, store.keys).history(MODEL)
    switch = store.releases.switches.last_turn()
    return (
        [(*standing(release), release.restores) for release in history],
        bundles,
        switch.number if switch else 0,
    )


def announced(home: Path) -> list[tuple[str, object]]:
    """What the ledger holds, once it is found to agree with the releases."""
    store = SmallStore.under(home)
    root, keys = store.settings.release_store, store.keys.public_keys
    verification = with_releases(verify_ledger(root, keys), root, keys)
    assert (verification.problems, verification.notices) == ((), ())
    return [(record.kind, record.facts.get("number")) for record in verification.records]


def standing(release: Release) -> tuple[str | None, str | None, str | None]:
    slots = (release.champion, release.canary, release.shadow)
    champion, canary, shadow = (slot.bundle_digest if slot else None for slot in slots)
    return champion, canary, shadow


@pytest.mark.parametrize(
    ("step", "point"),
    [
        pytest.param(step, point, marks=() if step == QUICK and "written" not in point else pytest.mark.long)
        for step in POINTS
        for point in POINTS[step]
    ],
)
def test_a_crash_changes_nothing_of_the_end(
    tmp_path: Path, candidates: Path, home_before: Callable[[str, Path], Path], step: str, point: str
) -> None:
    following = (*STEPS, "end")[STEPS.index(step) + 1]
    undisturbed, home = home_before(following, tmp_path / "undisturbed"), home_before(step, tmp_path / "home")
    assert child(step, home, candidates, **{CRASH_AT_VARIABLE: point}) == -signal.SIGKILL
    take(step, home, candidates)
    assert state(home) == state(undisturbed)
    assert announced(home) == announced(undisturbed)
    assert list((home / "release_store").rglob("releases/*/.*")) == []


@pytest.mark.parametrize(
    "step", [step if step == QUICK else pytest.param(step, marks=pytest.mark.long) for step in POINTS]
)
def test_every_point_is_killed_at(
    tmp_path: Path, candidates: Path, home_before: Callable[[str, Path], Path], step: str
) -> None:
    home, trace = home_before(step, tmp_path / "home"), tmp_path / "trace"
    assert child(step, home, candidates, **{TRACE_VARIABLE: str(trace)}) == 0
    prefixes = {"keys", "bundle", "release", "freeze", "ledger"}
    ours = [point for point in trace.read_text().split() if point.split(".")[0] in prefixes]
    assert set(ours) == {point.partition(":")[0] for point in POINTS[step]}
    turns = [point.partition(":")[0] for point in POINTS[step] if point.startswith("ledger.")]
    assert sorted(point for point in ours if point.startswith("ledger.")) == sorted(turns)
