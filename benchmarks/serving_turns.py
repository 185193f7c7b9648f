"""Contestants that take turns: each round measures all of them, and ratios are taken within a round."""

import statistics
import time
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.serving_load import OpenLoop, Requests, Tally, closed_loop, on_uvloop
from benchmarks.serving_servers import Server

CONNECTIONS = 8
OPEN_CONNECTIONS = 64
WARM_UP_SECONDS = 0.5
SLICE_SECONDS = 0.1
"""Of a turn in a closed loop: a core of a shared machine is twice as fast in one second as in the next."""
QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p99_9_ms": 0.999}
_COMPARED = ("requests_per_second", "cpu_us", "p50_ms", "p99_ms", "p99_9_ms")


@dataclass(frozen=True)
class Contestant:
    """A server with the requests it gets, and the contestant that it is held against."""

    name: str
    server: Server
    requests: Requests
    baseline: str | None = None


@dataclass(frozen=True)
class Turn:
    """One contestant in one round; of an open loop `requests_per_second` is what was offered."""

    requests_per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    cpu_us: float
    server_busy: float
    load_busy: float
    late_p99_ms: float
    failures: int


class Measured:
    """What one contestant did in one round, over as many turns as it had."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._tally = Tally()
        self._lateness = array("d")
        self._seconds = self._cpu_seconds = self._load_seconds = 0.0

    def load(self, seconds: float, rate: float | None = None) -> None:
        """Load the contestant for `seconds`: in a closed loop, or at `rate`."""
        server, requests = self._contestant.server, self._contestant.requests
        cpu_began, load_began, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
        if rate is None:
            load = closed_loop(server.port, requests, self._tally, connections=CONNECTIONS, seconds=seconds)
            self._seconds += on_uvloop(load)
        else:
            opened = OpenLoop(server.port, requests, self._tally, rate=rate, connections=OPEN_CONNECTIONS)
            on_uvloop(opened.run(seconds))
            self._lateness.extend(opened.lateness)
            self._seconds += time.perf_counter() - began
        self._cpu_seconds += server.cpu_seconds() - cpu_began
        self._load_seconds += time.process_time() - load_began

    def turn(self) -> Turn:
        """The figures of all turns together."""
        tally, answered = self._tally, self._tally.statuses.total()
        if not tally.latencies:
            name, statuses = self._contestant.name, dict(tally.statuses)
            raise RuntimeError(f"Expected answers from {name}, got the statuses {statuses}")
        cuts = np.quantile(np.array(tally.latencies), list(QUANTILES.values())) * 1e3
        return Turn(
            requests_per_second=answered / self._seconds,
            **dict(zip(QUANTILES, map(float, cuts), strict=True)),
            cpu_us=self._cpu_seconds / answered * 1e6,
            server_busy=self._cpu_seconds / self._seconds,
            load_busy=self._load_seconds / self._seconds,
            late_p99_ms=float(np.quantile(np.array(self._lateness), 0.99)) * 1e3 if self._lateness else 0.0,
            failures=tally.failures,
        )


def in_rounds(
    contestants: Sequence[Contestant], rounds: int, seconds: float, rate: float | None = None
) -> dict[str, list[Turn]]:
    """Every contestant's figures, round by round, after a short turn each to warm up.

    Parameters
    ----------
    seconds
        For each contestant in a round. In a closed loop they take turns of `SLICE_SECONDS` until all have had them.
    rate
        Requests per second of an open loop; ``None`` for a closed loop.
    """
    for contestant in contestants:
        Measured(contestant).load(WARM_UP_SECONDS)
    turns: defaultdict[str, list[Turn]] = defaultdict(list)
    slices = 1 if rate is not None else max(round(seconds / SLICE_SECONDS), 1)
    for _ in range(rounds):
        measured = {contestant.name: Measured(contestant) for contestant in contestants}
        for _ in range(slices):
            for each in measured.values():
                each.load(seconds / slices, rate)
        for name, each in measured.items():
            turns[name].append(each.turn())
    return dict(turns)


def summary(contestants: Sequence[Contestant], turns: Mapping[str, Sequence[Turn]]) -> list[dict[str, Any]]:
    """Medians over the rounds, and the median of each round's ratios to the contestant's baseline."""
    rows: list[dict[str, Any]] = []
    for contestant in contestants:
        own = [asdict(each) for each in turns[contestant.name]]
        row: dict[str, Any] = {"server": contestant.name}
        row |= {key: statistics.median(each[key] for each in own) for key in own[0] if key != "failures"}
        row["failures"] = sum(each["failures"] for each in own)
        if contestant.baseline is not None:
            base = [asdict(each) for each in turns[contestant.baseline]]
            for key in _COMPARED:
                ratios = [mine[key] / other[key] for mine, other in zip(own, base, strict=True) if other[key]]
                row[f"{key}_ratio"] = statistics.median(ratios) if ratios else None
                if key == "requests_per_second":
                    row["lowest_ratio"], row["highest_ratio"] = min(ratios), max(ratios)
        rows.append(row)
    return rows
