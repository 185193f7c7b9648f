"""Two writers at once, and a writer killed at each write: the ledger verifies, and nothing acknowledged is lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.files import is_end_of_killed_writer
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.reading import last_note, read_records
from lifecycle.releases.ledger.records import LedgerError
from lifecycle.releases.ledger.verify import verify_ledger
from serving.storage.crash_points import CRASH_AT_VARIABLE, TRACE_VARIABLE
from tests.harness.ledger_files import RECORDS, LedgerFiles, filled_ledger
from tests.harness.ledger_process import event
from tests.harness.paths import ROOT
from tests.harness.small_models import SmallStore

POINTS = [f"ledger.{file}.{step}" for file in ("record", "checkpoint") for step in ("written", "flushed")]


def writer(home: Path, name: str, count: int, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.harness.ledger_process", str(home), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def acknowledged(process: "subprocess.Popen[str]") -> list[int]:
    """Numbers of the events that a writer said were recorded, once it has ended."""
    output, _ = process.communicate(timeout=60)
    return [int(line.split()[0]) for line in output.splitlines()]


def recorded(store: SmallStore, name: str) -> list[int]:
    """Numbers of a writer's events in the ledger."""
    records = read_records(store.settings.release_store)
    return [int(record.subjects["candidate"], 16) for record in records if record.actor.name == name]


def expect_verified(store: SmallStore, notices: int = 0) -> None:
    verification = verify_ledger(store.settings.release_store, store.keys.public_keys)
    assert verification.problems == ()
    assert len(verification.notices) == notices


def test_two_processes_append_at_once_and_each_event_is_recorded_once(store: SmallStore) -> None:
    writers = {name: writer(store.settings.home, name, 40) for name in ("first", "second")}
    for name, process in writers.items():
        assert acknowledged(process) == list(range(40))
        assert process.returncode == 0
        assert recorded(store, name) == list(range(40))
    expect_verified(store)
    assert len(read_records(store.settings.release_store)) == 1 + 2 * 40


def test_a_ledger_that_another_process_continues_is_read_on(store: SmallStore) -> None:
    ledger = Ledger(store.settings.release_store, store.keys)
    ledger.append(event("here", 0))
    assert acknowledged(writer(store.settings.home, "there", 3)) == [0, 1, 2]
    assert ledger.append(event("there", 1)).size == ledger.append(event("here", 0)).size == 5
    assert ledger.append(event("here", 1)).size == 6
    expect_verified(store)


@pytest.mark.parametrize("turn", [2, pytest.param(1, marks=pytest.mark.long), pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_write_loses_nothing_that_was_acknowledged(store: SmallStore, point: str, turn: int) -> None:
    killed = writer(store.settings.home, "run", 5, **{CRASH_AT_VARIABLE: f"{point}:{turn}"})
    done = acknowledged(killed)
    assert killed.returncode == -signal.SIGKILL
    expect_verified(store, notices=int("record" in point))
    if done:
        assert recorded(store, "run")[: len(done)] == done
    again = writer(store.settings.home, "run", 5)
    assert acknowledged(again) == list(range(5))
    expect_verified(store)
    assert recorded(store, "run") == list(range(5))


def test_a_kill_while_an_unsigned_end_is_set_aside_is_continued(store: SmallStore) -> None:
    filled_ledger(store)
    for point in ("ledger.set_aside", "ledger.cut"):
        writer(store.settings.home, "run", 9, **{CRASH_AT_VARIABLE: "ledger.record.flushed"}).communicate(timeout=60)
        expect_verified(store, notices=1)
        cut = writer(store.settings.home, "run", 9, **{CRASH_AT_VARIABLE: point})
        assert (acknowledged(cut), cut.returncode) == ([], -signal.SIGKILL)
    assert acknowledged(writer(store.settings.home, "run", 9)) == list(range(9))
    expect_verified(store)
    kept = list((store.settings.release_store / "ledger" / "unsigned").iterdir())
    assert kept
    assert all(path.read_bytes().count(b"\n") == 1 for path in kept)


def test_every_point_is_killed_at(store: SmallStore, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    acknowledged(writer(store.settings.home, "run", 1, **{TRACE_VARIABLE: str(trace)}))
    assert {point for point in trace.read_text().split() if point.startswith("ledger.")} == set(POINTS)


@pytest.mark.parametrize("lines", ["records", "checkpoints"])
def test_a_line_torn_at_any_byte_is_set_aside_and_the_event_recorded_again(store: SmallStore, lines: str) -> None:
    root = filled_ledger(store)
    whole = LedgerFiles(root)
    line = getattr(whole, lines)[-1]
    for length in range(1, len(line), 7):
        torn = LedgerFiles(root)
        getattr(torn, lines)[-1] = line[:length]
        if lines == "records":
            torn.checkpoints.pop()
        torn.write()
        expect_verified(store, notices=1 if lines == "records" else 2)
        assert Ledger(root, store.keys).append(event("run", RECORDS - 2)).size == RECORDS
        expect_verified(store)
        whole.write()


@pytest.mark.parametrize(
    ("unsigned", "record", "checkpoint", "expected"),
    [
        (0, b"", b"", True),
        (0, b"torn", b"", True),
        (0, b"", b"torn", False),
        (1, b"", b"", True),
        (1, b"", b"torn", True),
        (1, b"torn", b"", False),
        (2, b"", b"", False),
        (-1, b"", b"", False),
    ],
)
def test_ends_that_a_killed_writer_leaves(unsigned: int, record: bytes, checkpoint: bytes, expected: bool) -> None:
    assert is_end_of_killed_writer(unsigned, record, checkpoint) is expected


def test_a_full_disk_acknowledges_nothing_and_the_next_append_continues(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(filled_ledger(store), store.keys)
    write = os.write

    def half(descriptor: int, content: bytes) -> int:
        if half_written:
            raise OSError(28, "No space left on device")
        half_written.append(write(descriptor, content[: len(content) // 2]))
        return half_written[0]

    half_written: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(LedgerError, match="Expected to write to the release store, got no space left on device"):
            ledger.append(event("run", 100))
    assert ledger.append(event("run", 100)).size == RECORDS + 1
    expect_verified(store)


def test_a_ledger_whose_key_is_no_longer_trusted_is_not_continued(store: SmallStore, tmp_path: Path) -> None:
    root = filled_ledger(store)
    other = SmallStore.under(tmp_path / "other")
    with pytest.raises(LifecycleError, match="got one by another key"):
        Ledger(root, other.keys).append(event("run", 100))


def test_a_ledger_that_a_release_names_is_not_begun_again(store: SmallStore) -> None:
    root = store.settings.release_store
    folder = root / "releases" / "card_fraud"
    folder.mkdir(parents=True)
    payload = json.dumps({"ledger_head": f"1 {'0' * 64}"})
    (folder / "000001.json").write_text(json.dumps({"payload": payload}))
    with pytest.raises(LedgerError, match="Expected the ledger that release 1 of card_fraud names, found none"):
        Ledger(root, store.keys).append(event("run", 1))
    assert not (root / "ledger" / "records.jsonl").exists()


def test_the_first_record_takes_in_the_releases_that_were_made_without_a_ledger(store: SmallStore) -> None:
    root = store.settings.release_store
    for model, number in (("card_fraud", 1), ("card_fraud", 2), ("loans", 1)):
        path = root / "releases" / model / f"{number:06d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    Ledger(root, store.keys).append(event("run", 1))
    genesis = read_records(root)[0]
    assert genesis.kind == "genesis"
    assert {model: set(digests) for model, digests in genesis.facts["releases"].items()} == {
        "card_fraud": {"1", "2"},
        "loans": {"1"},
    }
    assert last_note(root).startswith(f"{genesis.facts['origin']}\n2\n")
