"""A candidate in a real server: what it answers and costs, what is refused, and what a kill leaves."""

import contextlib
import dataclasses
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lifecycle.artefacts.candidates import Candidate, CandidateStore
from lifecycle.artefacts.sandbox import server
from lifecycle.artefacts.sandbox.probe import Expected, sandbox
from lifecycle.artefacts.sandbox.process_usage import cpu_seconds, resident_bytes
from lifecycle.artefacts.sandbox.rows import SentRows
from lifecycle.artefacts.sandbox.standby import Look, Standby, Start, Status
from lifecycle.gates.served_evidence import NotServed, Refused, Served, ServedEvidence
from lifecycle.tables.arrays import TimeArray
from serving.contract.derivation import completion
from serving.contract.documents import Deciding, GoldenRow, Lineage
from serving.contract.features import RowEncoder
from tests.harness.derived_models import DECIDING, DERIVED_SCHEMA, FACTS, derived_golden
from tests.harness.paths import ROOT
from tests.harness.small_models import (
    BANDS,
    CALIBRATION,
    MODEL,
    REASON_TEXTS,
    SCHEMA,
    booster,
    examples,
    explained_rows,
    golden_rows,
)

LINEAGE = Lineage(
    as_of="2026-02-01", training_set_digest="d" * 64, code_commit=None, parameters={}, seed=1, library_versions={}
)
PLAIN = Deciding(schema_version=1, model=MODEL, features=SCHEMA, calibration=CALIBRATION, bands=BANDS)
EXPLAINED = msgspec.structs.replace(PLAIN, reason_texts=REASON_TEXTS)
ROWS = 300


def kept(folder: Path, deciding: Deciding, golden: list[GoldenRow]) -> Candidate:
    text = booster(1).model_to_string().encode()
    return CandidateStore(folder / "candidates", MODEL).write(text, deciding, tuple(golden), LINEAGE, {})


def moments(count: int) -> TimeArray:
    return np.datetime64("2026-01-01T00:00:00.000001", "us") + np.arange(count) * np.timedelta64(3_661_000_001, "us")


def plain_rows() -> SentRows:
    return SentRows(examples()[0][:ROWS].copy(), None, moments(ROWS))


def probed(folder: Path, candidate: Candidate, rows: SentRows) -> ServedEvidence:
    with sandbox(folder / "sandboxes", candidate) as prepared:
        found = prepared.probe(candidate, Expected.of(candidate, rows), b"<html></html>")
    assert list((folder / "sandboxes").iterdir()) == []
    return found


def test_a_server_answers_golden_rows_and_the_holdout_to_the_bit_and_its_costs_are_measured(tmp_path: Path) -> None:
    found = probed(tmp_path, kept(tmp_path, EXPLAINED, explained_rows(1)), plain_rows())
    assert isinstance(found, Served)
    assert (found.golden.rows, found.golden.faults) == (8, 0)
    assert (found.holdout.rows, found.holdout_rows, found.holdout.faults) == (ROWS, ROWS, 0)
    costs = found.costs
    assert costs.explanation_cpu_us is not None
    assert min(costs.load_cpu_seconds, costs.decision_cpu_us, costs.bundle_bytes, costs.memory_bytes) > 0
    assert 0 < costs.latency_p50_us <= costs.latency_p99_us
    assert costs.explained_p99_us is not None


def test_a_model_with_derived_features_is_asked_with_the_fields_that_they_follow_from(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    facts = np.column_stack([generator.gamma(2.0, 300.0, ROWS).round(2), generator.integers(0, 9, ROWS)])
    amounts, kinds = generator.gamma(2.0, 60.0, ROWS).round(2), generator.integers(0, 3, ROWS)
    complete, encoder = completion(DERIVED_SCHEMA, FACTS), RowEncoder(DERIVED_SCHEMA)
    categories = DERIVED_SCHEMA[2].categories or ()
    occurred_at = moments(ROWS)
    rows = [
        encoder.row(complete((amount, categories[kind], spent, int(count)), moment.replace(tzinfo=dt.UTC)))
        for amount, kind, (spent, count), moment in zip(
            amounts.tolist(), kinds.tolist(), facts.tolist(), occurred_at.astype(object), strict=True
        )
    ]
    candidate = kept(tmp_path, DECIDING, derived_golden(1))
    sent = SentRows(np.array(rows, dtype=np.float64), facts, occurred_at)
    found = probed(tmp_path, candidate, sent)
    assert isinstance(found, Served)
    assert (found.golden.faults, found.holdout.rows, found.holdout.faults) == (0, ROWS, 0), found
    without_facts = probed(tmp_path, candidate, dataclasses.replace(sent, facts=None))
    assert isinstance(without_facts, Served)
    assert without_facts.holdout.rows == 0


def test_golden_rows_that_a_backtest_did_not_keep_are_made_again(tmp_path: Path) -> None:
    found = probed(tmp_path, kept(tmp_path, PLAIN, []), plain_rows())
    assert isinstance(found, Served)
    assert found.golden.rows > 20
    assert found.golden.faults == found.holdout.faults == 0


def other_margin(row: GoldenRow) -> GoldenRow:
    return msgspec.structs.replace(row, margin=row.margin + 1)


def next_score(row: GoldenRow) -> GoldenRow:
    """Within the server's own tolerance of a score, so that only an answer shows it."""
    return msgspec.structs.replace(row, score=float(np.nextafter(row.score, 1)))


def spoiled(change: Callable[[GoldenRow], GoldenRow]) -> list[GoldenRow]:
    first, *others = golden_rows(1)
    return [change(first), *others]


def test_a_bundle_that_the_server_refuses_is_refused_with_its_own_words(tmp_path: Path) -> None:
    found = probed(tmp_path, kept(tmp_path, PLAIN, spoiled(other_margin)), plain_rows())
    assert isinstance(found, Refused)
    assert "golden row 1" in found.message


def test_a_golden_score_that_differs_in_its_last_bit_is_counted(tmp_path: Path) -> None:
    found = probed(tmp_path, kept(tmp_path, PLAIN, spoiled(next_score)), plain_rows())
    assert isinstance(found, Served)
    assert (found.golden.scores, found.golden.decisions, found.holdout.faults) == (1, 0, 0)


def test_a_row_that_the_server_refuses_is_counted_with_its_reason_and_without_its_values(tmp_path: Path) -> None:
    rows = plain_rows()
    rows.features[7, 0] = -4711.25
    found = probed(tmp_path, kept(tmp_path, PLAIN, golden_rows(1)), rows)
    assert isinstance(found, Served)
    assert (found.holdout.refused, found.holdout.scores) == (1, 0)
    assert found.holdout.first is not None
    assert found.holdout.first.startswith("row 8: status 422")
    assert "4711" not in found.holdout.first


def test_without_a_server_there_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_started", [])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = probed(tmp_path, kept(tmp_path, PLAIN, golden_rows(1)), plain_rows())
    assert isinstance(found, NotServed)
    assert "could not be started" in found.reason


def test_a_server_that_is_not_ready_in_time_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_SECONDS", -1.0)
    found = probed(tmp_path, kept(tmp_path, PLAIN, golden_rows(1)), plain_rows())
    assert isinstance(found, NotServed)
    assert "did not listen" in found.reason


HELD = """
import sys
from pathlib import Path
from serving.storage.temporary_folders import temporary_folder
from lifecycle.artefacts.sandbox.server import SandboxServer, standby_process
from lifecycle.signing.keys import keys_of
with temporary_folder(Path(sys.argv[1])) as folder:
    started = SandboxServer(folder, folder / "release_store", keys_of(folder / "keys"))
    started.port()
    print(started.pid, standby_process().pid, flush=True)
    sys.stdin.read()
"""


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


def started(root: Path, **environment: str) -> tuple["subprocess.Popen[str]", int, int]:
    """A process that holds a sandbox until its input ends; the ids of its server and of the standby."""
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(root)],
        env=os.environ | environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    pid, standby = map(int, process.stdout.readline().split())
    return process, pid, standby


@pytest.mark.long
def test_a_killed_parent_leaves_neither_a_process_nor_a_folder_and_no_secret_reached_the_server(
    tmp_path: Path,
) -> None:
    process, pid, standby = started(tmp_path, LIFECYCLE_SNOWFLAKE_PASSWORD="planted4711", SERVING_HOST="192.0.2.1")
    with process:
        for one in (pid, standby):
            environment = Path(f"/proc/{one}/environ").read_bytes()
            assert b"planted4711" not in environment
            assert b"LIFECYCLE_" not in environment
        assert cpu_seconds(pid) > 0
        assert resident_bytes(pid) > 1_000_000
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually(lambda: not is_running(pid) and not is_running(standby))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_killed_standby_takes_its_server_and_the_folder_with_it(tmp_path: Path) -> None:
    process, pid, standby = started(tmp_path)
    with process:
        os.kill(standby, signal.SIGKILL)
        eventually(lambda: not is_running(pid))
        assert list(tmp_path.iterdir()) == []
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_server_with_the_process_id_of_an_earlier_one_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system gives an id again after some thousand processes; a process on standby lives for days."""
    standby = Standby(parent=1, folders={4711: "earlier"}, ended={4711: -signal.SIGKILL})
    monkeypatch.setattr("os.fork", lambda: 4711)
    monkeypatch.setattr("os.waitpid", lambda _pid, _options: (0, 0))
    assert standby._carry_out(Start("later", "output", {})) == Status(4711)
    assert standby._carry_out(Look(4711)) == Status(4711)
    assert standby.folders == {4711: "later"}
