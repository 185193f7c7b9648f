"""Puts a candidate's bundle into a sandbox's server, and compares and measures the answers."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.sandbox.connection import Connection, Reply, get, post
from lifecycle.artefacts.sandbox.process_usage import cpu_seconds, resident_bytes
from lifecycle.artefacts.sandbox.releases import release_candidate
from lifecycle.artefacts.sandbox.rows import EXPLAINED, SentRows, can_be_sent, golden_requests, row_requests
from lifecycle.artefacts.sandbox.server import NotStartedError, SandboxServer, standby_process
from lifecycle.gates.served_evidence import Agreement, Costs, NotServed, Refused, Served, ServedEvidence
from lifecycle.modelling.calibration import scores as calibrated_scores
from lifecycle.modelling.fitting import margins
from lifecycle.modelling.golden import golden_rows
from lifecycle.modelling.group_evidence import DECLINED, bands_of
from lifecycle.signing.keys import keys_of
from lifecycle.tables.arrays import FloatArray, IntArray
from serving.artefacts.bundle import read_golden
from serving.contract.derivation import facts_of
from serving.contract.documents import GOLDEN_FILE, Bands, Deciding, GoldenRow
from serving.scoring.model import bits, decision_of
from serving.storage.temporary_folders import temporary_folder

MOST_ROWS = 5_000
"""Rows of the holdout that are asked for; more are sampled evenly. About a second on an idle machine."""
ANSWER_SECONDS = 120.0
"""Longest time for one answer, the loading of the bundle included."""
COMPARE_SECONDS = 10.0
"""No further row is asked for after this time, so that a slow model does not hold the gates up."""
REPEATS, REPEAT_ROWS, REPEAT_SECONDS = 5, 40, 0.4
"""Requests are measured in so many repeats of so many rows, fewer if they take longer."""


@dataclass(frozen=True)
class Expected:
    """The offline scores of a holdout's rows: shape ``(n,)`` each."""

    rows: SentRows
    margins: FloatArray
    scores: FloatArray

    @classmethod
    def of(cls, candidate: Candidate, rows: SentRows) -> "Expected":
        """By the batch scoring that trainings use."""
        found = margins(candidate.model_text, rows.features)
        return cls(rows, found, calibrated_scores(found, candidate.deciding.calibration))

    def at(self, index: IntArray) -> "Expected":
        """The rows at `index`."""
        return Expected(self.rows.rows(index), self.margins[index], self.scores[index])


class Sandbox:
    """A folder for a server that starts when a candidate is probed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._store = folder, folder / "release_store"
        self._keys = keys_of(folder / "keys")

    def probe(self, candidate: Candidate, expected: Expected, card: bytes) -> ServedEvidence:
        """Release the candidate here, and compare and measure what the server answers."""
        try:
            server = SandboxServer(self._folder, self._store, self._keys)
        except OSError as error:
            return NotServed(f"the server could not be started: {error}")
        try:
            connection = Connection(server.port(), ANSWER_SECONDS)
            try:
                return self._probed(connection, server.pid, candidate, expected, card)
            finally:
                connection.close()
        except NotStartedError as error:
            return NotServed(str(error))
        except OSError as error:
            return NotServed(f"the server stopped answering ({error}): {server.last_line()}")
        finally:
            server.stop()

    def _probed(
        self, connection: Connection, pid: int, candidate: Candidate, expected: Expected, card: bytes
    ) -> ServedEvidence:
        deciding = candidate.deciding
        golden = _golden_of(candidate, expected.rows)
        size = release_candidate(self._store, self._keys, candidate, golden, card)
        memory, cpu, began = resident_bytes(pid), cpu_seconds(pid), time.perf_counter()
        refusal = _load(connection, deciding.model)
        load_seconds, load_cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
        if refusal is not None:
            return refusal
        growth = max(0, resident_bytes(pid) - memory)
        answered = connection.ask_all(golden_requests(deciding, golden, "g"), time.monotonic() + COMPARE_SECONDS)
        wanted = [(row.margin, row.score) for row in golden]
        golden_agreement = agreement(answered, wanted, deciding.bands)
        plain, explained = _measured(connection, pid, deciding, _request_maker(deciding, expected, golden))
        return Served(
            golden=golden_agreement,
            holdout=_compared(connection, deciding, expected),
            holdout_rows=len(expected.rows),
            costs=Costs(
                load_cpu_seconds=load_cpu,
                load_seconds=load_seconds,
                memory_bytes=growth,
                decision_cpu_us=plain.cpu_us,
                explanation_cpu_us=None if explained is None else max(0.0, explained.cpu_us - plain.cpu_us),
                latency_p50_us=plain.quantile(0.5),
                latency_p99_us=plain.quantile(0.99),
                explained_p50_us=None if explained is None else explained.quantile(0.5),
                explained_p99_us=None if explained is None else explained.quantile(0.99),
                bundle_bytes=size,
            ),
        )


@contextmanager
def sandbox(root: Path, candidate: Candidate) -> Iterator[Sandbox]:
    """A sandbox below `root`; its folder is gone after the block.

    Meanwhile the process on standby prepares for the candidate, so that other gates judge while it compiles.
    """
    with contextlib.suppress(OSError):  # the probe says so
        standby_process().prepare(is_explained=can_explain(candidate), is_single=candidate.model_format == "xgboost")
    with temporary_folder(root) as folder:
        yield Sandbox(folder)


def can_explain(candidate: Candidate) -> bool:
    """Whether a server lays the candidate's trees out for explanations."""
    golden = candidate.read(GOLDEN_FILE)
    return candidate.deciding.reason_texts is not None or not golden or b'"contributions":[' in golden


def _golden_of(candidate: Candidate, rows: SentRows) -> tuple[GoldenRow, ...]:
    """The candidate's golden rows; a backtest keeps none, so that they are made as a training does."""
    if content := candidate.read(GOLDEN_FILE):
        return read_golden(content, "the candidate")
    deciding = candidate.deciding
    return golden_rows(
        rows.features,
        deciding.features,
        candidate.model_text,
        deciding.calibration,
        candidate.lineage.seed,
        facts_of(deciding),
        rows.facts,
    )


class _Poll(msgspec.Struct):
    releases: dict[str, int]
    error: str | None = None


class _ModelReadiness(msgspec.Struct):
    error: str | None = None


class _Readiness(msgspec.Struct):
    models: dict[str, _ModelReadiness]


class _Scored(msgspec.Struct):
    margin: float
    score: float
    decision: str


class _Error(msgspec.Struct):
    message: str = ""
    path: str | None = None


class _Failed(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


def _load(connection: Connection, model: str) -> Refused | NotServed | None:
    """Let the server look for releases; why it does not serve the model, if it does not."""
    reply = connection.ask(post("/v1/poll"))
    if reply.status != 200:
        return NotServed(f"the server answered {reply.status} to a poll")
    poll = msgspec.json.decode(reply.body, type=_Poll)
    if model in poll.releases:
        return None
    readiness = msgspec.json.decode(connection.ask(get("/readyz")).body, type=_Readiness).models.get(model)
    if readiness is None or readiness.error is None:
        return NotServed(poll.error or "the server did not read the release store")
    return Refused(readiness.error)


def agreement(replies: Iterable[Reply], wanted: Sequence[tuple[float, float]], bands: Bands) -> Agreement:
    """Compare answers with the margins and scores that are expected, bit for bit, and the decisions that follow."""
    rows = differing = decisions = refused = 0
    first: str | None = None
    decoder = msgspec.json.Decoder(_Scored)
    for reply, (margin, score) in zip(replies, wanted, strict=False):
        rows += 1
        if reply.status != 200:
            refused += 1
            first = first or f"row {rows}: {_refusal(reply)}"
            continue
        answer = decoder.decode(reply.body)
        if bits(answer.score) != bits(score) or bits(answer.margin) != bits(margin):
            differing += 1
            apart = f"{answer.margin - margin:+.3g} of the margin, {answer.score - score:+.3g} of the score"
            first = first or f"row {rows}: {apart}"
        if answer.decision != decision_of(score, bands):
            decisions += 1
    return Agreement(rows, differing, decisions, refused, first)


def _refusal(reply: Reply) -> str:
    """The server's own message, which repeats no value."""
    try:
        error = msgspec.json.decode(reply.body, type=_Failed).error
    except msgspec.DecodeError:
        return f"status {reply.status}"
    return f"status {reply.status}, {error.message} - at {error.path}"


def _compared(connection: Connection, deciding: Deciding, expected: Expected) -> Agreement:
    if not can_be_sent(deciding, expected.rows):
        return Agreement(0)
    asked = expected.at(_evenly(len(expected.rows), MOST_ROWS))
    requests = list(row_requests(deciding, asked.rows, "h"))
    replies = connection.ask_all(requests, time.monotonic() + COMPARE_SECONDS)
    return agreement(replies, list(zip(asked.margins.tolist(), asked.scores.tolist(), strict=True)), deciding.bands)


def _evenly(count: int, most: int) -> IntArray:
    """Positions of at most `most` of `count` rows, in even distances."""
    return np.linspace(0, max(count - 1, 0), min(count, most)).round().astype(np.int64)


@dataclass(frozen=True)
class _Measured:
    """Processor time of a request in microseconds, and the wall-clock times of all of them in seconds."""

    cpu_us: float
    latencies: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """A quantile of the wall-clock times, in microseconds."""
        return float(np.quantile(self.latencies, share)) * 1e6


class _Requests(Protocol):
    """Makes the requests of a repeat, with ids that begin with `prefix`, and further headers."""

    def __call__(self, prefix: str, headers: str = "") -> Sequence[bytes]: ...


def _measured(
    connection: Connection, pid: int, deciding: Deciding, made: _Requests
) -> tuple[_Measured, _Measured | None]:
    """Requests one after the other: without reasons, and with them if the model is explained.

    Both kinds take turns, on the same rows.
    """
    plain, explained = [], []
    for number in range(REPEATS):
        plain.append(_repeat(connection, pid, made(f"p{number}-")))
        if deciding.reason_texts is not None:
            explained.append(_repeat(connection, pid, made(f"e{number}-", EXPLAINED)))
    return _smallest(plain), _smallest(explained) if explained else None


def _repeat(connection: Connection, pid: int, requests: Sequence[bytes]) -> _Measured:
    """One repeat; it ends early after `REPEAT_SECONDS`."""
    latencies: list[float] = []
    before, end = cpu_seconds(pid), time.perf_counter() + REPEAT_SECONDS
    for request in requests:
        began = time.perf_counter()
        connection.ask(request)
        answered = time.perf_counter()
        latencies.append(answered - began)
        if answered > end:
            break
    return _Measured((cpu_seconds(pid) - before) / len(latencies) * 1e6, tuple(latencies))


def _smallest(repeats: Sequence[_Measured]) -> _Measured:
    """The smallest processor time of the repeats, since other work on the machine can only add to it."""
    latencies = tuple(latency for repeat in repeats for latency in repeat.latencies)
    return _Measured(min(repeat.cpu_us for repeat in repeats), latencies)


def _request_maker(deciding: Deciding, expected: Expected, golden: Sequence[GoldenRow]) -> _Requests:
    """Requests whose rows are not declined, since declines are explained: of the holdout, or else golden ones.

    They are the same rows in each repeat.
    """
    is_declined = bands_of(expected.scores, deciding.bands) == DECLINED
    index = np.flatnonzero(~is_declined)
    if not can_be_sent(deciding, expected.rows) or not len(index):
        return lambda prefix, headers="": golden_requests(deciding, golden, prefix, headers)
    rows = expected.rows.rows(index[_evenly(len(index), REPEAT_ROWS)])
    return lambda prefix, headers="": list(row_requests(deciding, rows, prefix, headers))
