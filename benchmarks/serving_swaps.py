"""Swaps between two bundles under full load: no failure, and no decision by a bundle that was not in force."""

import asyncio
import time
from array import array
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.serving_claims import at_most
from benchmarks.serving_load import Answer, ClosedLoop, answers_of, on_uvloop
from benchmarks.serving_models import BENCHMARK, RowRequests, StagedReleases, request_number, train_benchmark
from benchmarks.serving_servers import Cores, Server, pinned, running
from benchmarks.serving_trial import Answered, Outcome, decisions, ground, release_in

CONNECTIONS = 8
POLL_SECONDS = 0.1
BLOCKS = 10
SHOWN_SECONDS = 60.0
WARM_UP_SECONDS = 1.0
_LIST_MODELS = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

Times = NDArray[np.float64]


class Swap(NamedTuple):
    """One swap: when the release was put into the store, and when ``/v1/models`` first showed it."""

    number: int
    published_at: float
    shown_at: float


class Witness:
    """Checks every answer against the margin of the bundle that it names.

    Parameters
    ----------
    bundles
        The bundle of each release by its number.
    margins
        What each bundle says of each row, by digest.
    """

    def __init__(self, bundles: dict[int, str], margins: dict[str, list[float]]) -> None:
        self._bundles = bundles
        self._margins = margins
        self._decode = msgspec.json.Decoder(Answered).decode
        self._row_count = len(next(iter(margins.values())))
        self.statuses: Counter[int] = Counter()
        self.wrong = 0
        self.sent_at, self.answered_at = array("d"), array("d")
        self.releases, self.numbers = array("q"), array("q")

    def __call__(self, answer: Answer) -> None:
        """Check an answer as it comes."""
        self.statuses[answer.status] += 1
        if answer.status != 200:
            return
        said = self._decode(answer.body)
        self.wrong += not self.is_right(answer.number, said.release_number, said.bundle_digest, said.margin)
        self.sent_at.append(answer.sent_at)
        self.answered_at.append(answer.answered_at)
        self.releases.append(said.release_number)
        self.numbers.append(answer.number)

    def is_right(self, number: int, release: int | None, bundle: str | None, margin: float | None) -> bool:
        """Whether the bundle is the release's, and the margin that bundle's for the row sent, bit for bit."""
        if release is None or bundle is None or self._bundles.get(release) != bundle:
            return False
        return self._margins[bundle][number % self._row_count] == margin


def swaps_trial(cores: Cores, count: int, steady_seconds: float) -> Outcome:
    """Swap two bundles `count` times under load, with turns of as much load and no swap between.

    A request was routed between its sending and its answer. So it must be answered by no release that is older than one
    which an answer or ``/v1/models`` had shown before it was sent, and by none that was not in the store when its
    answer came; by the bundle of the release it names; and the log must have it once, saying the same.
    """
    with ground(cores) as place:
        other = train_benchmark(seed=2)
        first, second = place.bundle_digest, place.home.seal(other)
        digests = [(second, first)[index % 2] for index in range(count)]
        staged = StagedReleases(place.home, BENCHMARK, digests, place.folder / "staged")
        rows = place.trained.approved_rows()
        requests = RowRequests(place.trained, rows)
        margins = {first: place.trained.margins(rows), second: other.margins(rows)}
        witness = Witness({1: first, **staged.bundles}, margins)
        environment = place.home.environment()
        server = place.start(environment, poll_seconds=f"{POLL_SECONDS}")
        with running(server), pinned(cores.load):
            swaps = on_uvloop(_swap_under_load(server, requests, witness, staged, count, steady_seconds))
        unlogged, logged_otherwise = _held_against_log(witness, Path(environment["SERVING_LOG_DIR"]))
    return _outcome(witness, swaps, unlogged, logged_otherwise)


async def _swap_under_load(
    server: Server, requests: RowRequests, witness: Witness, staged: StagedReleases, count: int, steady_seconds: float
) -> list[Swap]:
    load = ClosedLoop(server.port, requests, witness, is_reconnecting=True)
    await load.start(CONNECTIONS)
    await asyncio.sleep(WARM_UP_SECONDS)
    swaps: list[Swap] = []
    for block in np.array_split(np.arange(count), min(BLOCKS, count)):
        await asyncio.sleep(steady_seconds)
        for _ in block:
            published_at = time.perf_counter()
            number = staged.publish_next()
            await _shown(server, number)
            swaps.append(Swap(number, published_at, time.perf_counter()))
    await asyncio.sleep(steady_seconds)
    await load.stop()
    return swaps


async def _shown(server: Server, number: int) -> None:
    deadline = time.perf_counter() + SHOWN_SECONDS
    while time.perf_counter() < deadline:
        (answer,) = await answers_of(server.port, [(0, _LIST_MODELS)])
        if release_in(answer.body) == number:
            return
        await asyncio.sleep(0.01)
    raise RuntimeError(
        f"Expected release {number} to be shown within {SHOWN_SECONDS:.0f} s; the server wrote:\n{server.tail()}"
    )


def out_of_force(sent_at: Times, answered_at: Times, releases: NDArray[np.int64], swaps: list[Swap]) -> tuple[int, int]:
    """Numbers of answers from a release that had ended, and from one that had not started.

    Parameters
    ----------
    sent_at, answered_at, releases
        One entry an answer, in the order of the answers.

    Examples
    --------
    Release 2 was published at 2 and shown at 4. Release 1 may answer what was sent before 4, or before an answer showed
    release 2; here the third request was sent after the second's answer.

    >>> swaps = [Swap(2, 2.0, 4.0)]
    >>> sent, answered = np.array([0.5, 2.5, 3.1, 3.1]), np.array([1.0, 3.0, 3.5, 3.6])
    >>> out_of_force(sent, answered, np.array([1, 2, 1, 2]), swaps)
    (1, 0)
    >>> out_of_force(sent, answered, np.array([2, 2, 2, 2]), swaps)
    (0, 1)
    """
    numbers = np.array([swap.number for swap in swaps])
    known_at = np.concatenate([answered_at, [swap.shown_at for swap in swaps]])
    order = np.argsort(known_at, kind="stable")
    highest = np.maximum.accumulate(np.concatenate([releases, numbers])[order])
    seen_before = np.searchsorted(known_at[order], sent_at, side="left")
    floor = np.where(seen_before > 0, highest[np.maximum(seen_before - 1, 0)], 0)
    published = np.searchsorted(np.array([swap.published_at for swap in swaps]), answered_at, side="right")
    ceiling = np.where(published > 0, numbers[np.maximum(published - 1, 0)], numbers[0] - 1)
    return int((releases < floor).sum()), int((releases > ceiling).sum())


def _held_against_log(witness: Witness, log_dir: Path) -> tuple[int, int]:
    """How many acknowledged decisions are not in the log exactly once, and how many records say something else."""
    answered = dict(zip(witness.numbers, witness.releases, strict=True))
    logged: Counter[int] = Counter()
    otherwise = 0
    for record in decisions(log_dir):
        number = request_number(record.decision_id)
        logged[number] += 1
        is_same = answered.get(number, record.release_number) == record.release_number
        is_right = witness.is_right(number, record.release_number, record.bundle_digest, record.margin)
        otherwise += not (is_same and is_right)
    return sum(logged[number] != 1 for number in answered), otherwise


def _outcome(witness: Witness, swaps: list[Swap], unlogged: int, logged_otherwise: int) -> Outcome:
    sent, answered = np.array(witness.sent_at), np.array(witness.answered_at)
    stale, early = out_of_force(sent, answered, np.array(witness.releases), swaps)
    is_swapping = np.zeros(len(sent), dtype=bool)
    for swap in swaps:
        is_swapping |= (answered >= swap.published_at) & (sent <= swap.shown_at)
    is_steady = ~is_swapping & (sent > sent[0] + WARM_UP_SECONDS)
    rows = [
        _row("without swaps", (answered - sent)[is_steady]),
        _row("during swaps", (answered - sent)[is_swapping]),
    ]
    swap_seconds = [swap.shown_at - swap.published_at for swap in swaps]
    failed = witness.statuses.total() - witness.statuses[200]
    out_of = witness.wrong + stale + early
    claims = [
        at_most("failed requests", failed, 0),
        at_most("decisions by a bundle other than the release in force", out_of, 0),
        at_most("acknowledged decisions not in the log exactly once", unlogged, 0),
        at_most("records that say another release, bundle or margin", logged_otherwise, 0),
        at_most("p99 during swaps of that without", rows[1]["p99_ms"] / rows[0]["p99_ms"], 2.0),
    ]
    notes = {
        "swaps": len(swaps),
        "releases_that_answered": len(set(witness.releases)),
        "median_swap_seconds": float(np.median(swap_seconds)),
        "requests": witness.statuses.total(),
        "wrong_bundle_or_margin": witness.wrong,
        "release_already_over": stale,
        "release_not_yet_published": early,
    }
    columns = {"phase": "", "requests": ",d", "p50_ms": ".3f", "p99_ms": ".3f", "p99_9_ms": ".3f", "max_ms": ".1f"}
    return Outcome("swaps", rows, columns, claims, notes)


def _row(phase: str, latencies: Times) -> dict[str, Any]:
    p50, p99, p99_9 = np.quantile(latencies, [0.5, 0.99, 0.999]) * 1e3
    slowest = float(latencies.max()) * 1e3
    figures = {"p50_ms": float(p50), "p99_ms": float(p99), "p99_9_ms": float(p99_9), "max_ms": slowest}
    return {"phase": phase, "requests": len(latencies), **figures}
