"""Approvals and waivers in the release store: written once, by two at a time, after a kill, and verified."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.consents import Person
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.verify import Verification, verify_ledger
from serving.storage.crash_points import CRASH_AT_VARIABLE, TRACE_VARIABLE
from tests.harness.consent_process import candidate
from tests.harness.paths import ROOT
from tests.harness.small_models import MODEL, SmallStore

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
ANNA, BEN = Person("anna", "a1"), Person("ben", "b1")
STEPS = [f"ledger.{file}.{step}" for file in ("record", "checkpoint") for step in ("written", "flushed")]
POINTS = [*(f"{step}:{turn}" for turn in (1, 2, 3) for step in STEPS), "consent.written", "consent.linked"]
"""Three appends: the beginning of the ledger, the announcement, and the record of the file."""
QUICK = {"ledger.checkpoint.flushed:2", "consent.linked"}


def verified(store: SmallStore) -> Verification:
    root, keys = store.settings.release_store, store.keys.public_keys
    return with_releases(verify_ledger(root, keys), root, keys)


def approving(home: Path, name: str, count: int, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.harness.consent_process", str(home), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def acknowledged(process: "subprocess.Popen[str]") -> list[int]:
    output, _ = process.communicate(timeout=60)
    return [int(line) for line in output.split()]


def test_a_repeated_command_writes_nothing_and_another_reason_does(store: SmallStore) -> None:
    consents = store.releases.consents
    first = consents.approve(MODEL, candidate(1), ANNA, reason="sound", days=30, now=NOW)
    later = NOW + dt.timedelta(minutes=1)
    assert consents.approve(MODEL, candidate(1), ANNA, reason="sound", days=30, now=later) == first
    assert consents.approve(MODEL, candidate(1), ANNA, reason="still sound", days=30, now=later).number == 2
    assert consents.approve(MODEL, candidate(1), BEN, reason="sound", days=30, now=later).number == 3
    withdrawn = consents.withdraw(MODEL, candidate(1), None, BEN, reason="doubt", now=later)
    assert consents.withdraw(MODEL, candidate(1), None, BEN, reason="doubt", now=later) == withdrawn
    assert [act.number for act in consents.of(MODEL)] == [1, 2, 3, 4]
    assert verified(store).problems == ()
    assert not any("sound" in str(record.facts) for record in read_records(store.settings.release_store))


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("", "r", "Expected a person's name"),
        ("a\nb", "r", "Expected a person's name"),
        ("x" * 101, "r", "Expected a person's name"),
        ("promotion policy", "r", "Expected a person's name"),
        ("anna", "  ", "Expected a reason"),
    ],
)
def test_an_act_needs_a_person_and_a_reason(store: SmallStore, name: str, reason: str, message: str) -> None:
    with pytest.raises(LifecycleError, match=message):
        store.releases.consents.approve(MODEL, candidate(1), Person(name, "ops"), reason=reason, days=30, now=NOW)
    assert store.releases.consents.of(MODEL) == ()


def test_a_waiver_ends_after_now(store: SmallStore) -> None:
    with pytest.raises(LifecycleError, match="Expected a time after now, got 2026-05-01 12:00 UTC"):
        store.releases.consents.waive(MODEL, candidate(1), "above_floor", ANNA, reason="r", until=NOW, now=NOW)


def test_two_people_who_act_at_once_both_succeed(store: SmallStore) -> None:
    people = [approving(store.settings.home, name, 12) for name in ("anna", "ben")]
    numbers = [number for process in people for number in acknowledged(process)]
    assert sorted(numbers) == list(range(1, 25))
    given = {(act.name, act.candidate_digest) for act in store.releases.consents.of(MODEL)}
    assert given == {(name, candidate(number)) for name in ("anna", "ben") for number in range(12)}
    assert (verified(store).problems, verified(store).notices) == ((), ())


@pytest.mark.parametrize(
    "point", [point if point in QUICK else pytest.param(point, marks=pytest.mark.long) for point in POINTS]
)
def test_after_a_kill_at_each_write_the_same_command_continues(store: SmallStore, point: str) -> None:
    killed = approving(store.settings.home, "anna", 1, **{CRASH_AT_VARIABLE: point})
    assert (acknowledged(killed), killed.returncode) == ([], -signal.SIGKILL)
    assert verified(store).problems == ()
    assert acknowledged(approving(store.settings.home, "anna", 2)) == [1, 2]
    assert [act.candidate_digest for act in store.releases.consents.of(MODEL)] == [candidate(0), candidate(1)]
    assert verified(store).problems == ()
    left = [path.name for path in (store.settings.release_store / "approvals" / MODEL).iterdir()]
    assert sorted(left) == ["000001.json", "000002.json"]


def test_every_point_is_killed_at(store: SmallStore, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    acknowledged(approving(store.settings.home, "anna", 1, **{TRACE_VARIABLE: str(trace)}))
    names = [point for point in trace.read_text().split() if point.startswith(("ledger.", "consent."))]
    reached = [name if name.startswith("consent.") else f"{name}:{names[: at + 1].count(name)}"
               for at, name in enumerate(names)]  # fmt: skip
    assert sorted(reached) == sorted(POINTS)


DAMAGES = {
    "changed": ("other_approval", "000002.json"),
    "removed": ("missing_approval", "000002.json"),
    "removed last": ("missing_approval", "000003.json"),
    "swapped": ("other_approval", "000001.json"),
    "copied": ("other_approval", "000004.json"),
    "another key": ("other_approval", "000002.json"),
    "another name": ("other_approval", "note.txt"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_as_it_was_recorded_is_found_by_name(store: SmallStore, tmp_path: Path, damage: str) -> None:
    consents, folder = store.releases.consents, store.settings.release_store / "approvals" / MODEL
    for person in (ANNA, BEN):
        consents.approve(MODEL, candidate(1), person, reason="sound", days=30, now=NOW)
    consents.withdraw(MODEL, candidate(1), None, BEN, reason="doubt", now=NOW)
    first, second, third = (folder / f"00000{number}.json" for number in (1, 2, 3))
    if damage == "changed":
        second.write_bytes(second.read_bytes().replace(b"sound", b"found"))
    elif damage in {"removed", "removed last"}:
        (second if damage == "removed" else third).unlink()
    elif damage == "swapped":
        kept = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(kept)
    elif damage == "copied":
        (folder / "000004.json").write_bytes(second.read_bytes())
    elif damage == "another key":
        other = SmallStore.under(tmp_path / "other").releases.consents
        for person in (ANNA, BEN):
            other.approve(MODEL, candidate(1), person, reason="sound", days=30, now=NOW)
        second.write_bytes((tmp_path / "other" / "release_store" / "approvals" / MODEL / second.name).read_bytes())
    else:
        (folder / "note.txt").write_text("no document")
    kind, name = DAMAGES[damage]
    problem = verified(store).problems[0]
    assert (problem.damage, name in problem.message) == (kind, True)
    with pytest.raises(LifecycleError, match=f"approvals/{MODEL}/"):
        consents.approve(MODEL, candidate(2), ANNA, reason="go on", days=30, now=NOW)
    with pytest.raises(LifecycleError):
        consents.expect_recorded(MODEL, read_records(store.settings.release_store))
