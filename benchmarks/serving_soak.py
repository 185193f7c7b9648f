"""A server under steady load for a long time: memory, descriptors and threads must not grow."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.serving_claims import at_most
from benchmarks.serving_load import Answer, OpenLoop, on_uvloop
from benchmarks.serving_models import BENCHMARK, RowRequests, train_benchmark
from benchmarks.serving_overload import RECENT_DECISIONS, allowed_growth_mb, growth_mb
from benchmarks.serving_servers import Cores, Footprint, Server, pinned, running
from benchmarks.serving_trial import Ground, Outcome, ground

RATE = 300.0
EXPLAINED_EVERY = 20
INVALID_EVERY = 100
SWAP_SECONDS = 30.0
LEAST_SWAPS = 16
"""A short run swaps more often, so that memory has settled by its second quarter: swaps hold two bundles."""
CONNECTIONS = 16
SEGMENT_BYTES = 8 * 1024 * 1024
SAMPLES = 120
"""Samples of a run, however long."""


@dataclass(frozen=True)
class Sample:
    """Resources of the server at a number of seconds into the run."""

    seconds: float
    held: Footprint


class MixedRequests:
    """Score requests; every hundredth is truncated, so that the server rejects it."""

    def __init__(self, requests: RowRequests) -> None:
        self._requests = requests

    def take(self) -> tuple[int, bytes]:
        """The next request."""
        number, request = self._requests.take()
        # The same length, so that it is a whole request with half a document in it.
        return number, request[:-8] + b" " * 8 if is_invalid(number) else request


def is_invalid(number: int) -> bool:
    """Whether the request of this number is truncated."""
    return number % INVALID_EVERY == INVALID_EVERY - 1


def soak_trial(cores: Cores, minutes: float) -> Outcome:
    """Load a server, with swaps and rejected requests, and sample its resources.

    Segments are small and few answers remembered, so that what is bounded by design reaches its bound early.
    """
    with ground(cores) as place:
        other = place.home.seal(train_benchmark(seed=2))
        requests = RowRequests(place.trained, place.trained.approved_rows(), explained_every=EXPLAINED_EVERY)
        settings = {"recent_decisions": f"{RECENT_DECISIONS}", "segment_bytes": f"{SEGMENT_BYTES}"}
        server = place.start(place.home.environment(), **settings)
        with running(server), pinned(cores.load):
            statuses: Counter[str] = Counter()
            samples, swaps = on_uvloop(_soak(place, server, requests, statuses, 60 * minutes, other))
    return _outcome(samples, statuses, swaps, minutes)


async def _soak(
    place: Ground, server: Server, requests: RowRequests, statuses: Counter[str], seconds: float, other: str
) -> tuple[list[Sample], int]:
    def keep(answer: Answer) -> None:
        is_expected = answer.status == (422 if is_invalid(answer.number) else 200)
        statuses["expected" if is_expected else f"{answer.status}"] += 1

    # asyncio's timers are precise enough here: latency is not measured, and spinning would take a core for an hour.
    opened = OpenLoop(server.port, MixedRequests(requests), keep, rate=RATE, connections=CONNECTIONS, is_spinning=False)
    swapping = asyncio.create_task(
        _swap_now_and_then(place, (other, place.bundle_digest), min(SWAP_SECONDS, seconds / LEAST_SWAPS))
    )
    watching = asyncio.create_task(_watch(server, seconds / SAMPLES))
    await opened.run(seconds)
    swapping.cancel()
    watching.cancel()
    return await watching, await swapping


async def _swap_now_and_then(place: Ground, bundles: tuple[str, str], every_seconds: float) -> int:
    """Publish another release now and then until cancelled; returns how many."""
    done = 0
    try:
        while True:
            await asyncio.sleep(every_seconds)
            await asyncio.to_thread(place.home.publish, BENCHMARK, bundles[done % 2])
            done += 1
    except asyncio.CancelledError:
        return done


async def _watch(server: Server, every_seconds: float) -> list[Sample]:
    """Sample until cancelled."""
    began_at, samples = time.perf_counter(), []
    try:
        while True:
            samples.append(Sample(time.perf_counter() - began_at, server.footprint()))
            await asyncio.sleep(every_seconds)
    except asyncio.CancelledError:
        return samples


def slope_an_hour(samples: list[Sample], figure: str) -> float:
    """Least-squares slope of a figure over the samples' last three quarters, an hour.

    Examples
    --------
    >>> samples = [Sample(60.0 * minute, Footprint(50.0 + minute, 10, 3)) for minute in range(8)]
    >>> round(slope_an_hour(samples, "resident_mb")), slope_an_hour(samples, "threads")
    (60, 0.0)
    """
    settled = samples[len(samples) // 4 :]
    if len(settled) < 2:
        return float("nan")
    times = [sample.seconds / 3600 for sample in settled]
    values = [getattr(sample.held, figure) for sample in settled]
    return round(float(np.polyfit(times, values, 1)[0]), 6) + 0.0


def _outcome(samples: list[Sample], statuses: Counter[str], swaps: int, minutes: float) -> Outcome:
    rows: list[dict[str, Any]] = []
    for figure in Footprint._fields:
        values = [float(getattr(sample.held, figure)) for sample in samples]
        rows.append(
            {
                "held": figure,
                "first": values[0],
                "settled": values[len(values) // 4],
                "last": values[-1],
                "highest": max(values),
                "growth": growth_mb(values),
                "slope_an_hour": slope_an_hour(samples, figure),
            }
        )
    resident = [sample.held.resident_mb for sample in samples]
    grown = {str(row["held"]): float(str(row["growth"])) for row in rows}
    unexpected = statuses.total() - statuses["expected"]
    claims = [
        at_most("answers with another status than expected", unexpected, 0),
        at_most("MB that memory grew by", grown["resident_mb"], allowed_growth_mb(resident)),
        at_most("descriptors more than before", grown["descriptors"], 0),
        at_most("threads more than before", grown["threads"], 0),
    ]
    notes = {"minutes": minutes, "requests": statuses.total(), "swaps": swaps, "statuses": dict(statuses)}
    columns = {"held": "", **dict.fromkeys(("first", "settled", "last", "highest", "growth", "slope_an_hour"), ",.1f")}
    return Outcome("soak", rows, columns, claims, notes)
