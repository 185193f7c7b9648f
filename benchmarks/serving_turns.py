"""Contestants that take turns: each round measures all of them, and ratios are taken within a round."""

import statistics
import time
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


def turn(contestant: Contestant, seconds: float, rate: float | None = None) -> Turn:
    """Load a contestant for `seconds`: in a closed loop, or at `rate`."""
    server, tally = contestant.server, Tally()
    lateness: Sequence[float] = (0.0,)
    cpu_began, load_began, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
    if rate is None:
        load = closed_loop(server.port, contestant.requests, tally, connections=CONNECTIONS, seconds=seconds)
        on_uvloop(load)
    else:
        opened = OpenLoop(server.port, contestant.requests, tally, rate=rate, connections=OPEN_CONNECTIONS)
        on_uvloop(opened.run(seconds))
        lateness = opened.lateness
    took = time.perf_counter() - began
    cpu, load_cpu = server.cpu_seconds() - cpu_began, time.process_time() - load_began
    answered = tally.statuses.total()
    if not tally.latencies:
        raise RuntimeError(f"Expected answers from {contestant.name}, got the statuses {dict(tally.statuses)}")
    cuts = np.quantile(np.array(tally.latencies), list(QUANTILES.values())) * 1e3
    return Turn(
        requests_per_second=answered / took,
        **dict(zip(QUANTILES, map(float, cuts), strict=True)),
        cpu_us=cpu / answered * 1e6,
        server_busy=cpu / took,
        load_busy=load_cpu / took,
        late_p99_ms=float(np.quantile(np.array(lateness), 0.99)) * 1e3,
        failures=tally.failures,
    )


def in_rounds(
    contestants: Sequence[Contestant], rounds: int, seconds: float, rate: float | None = None
) -> dict[str, list[Turn]]:
    """Every contestant's turns, round by round, after a short one each to warm up."""
    for contestant in contestants:
        turn(contestant, WARM_UP_SECONDS)
    turns: defaultdict[str, list[Turn]] = defaultdict(list)
    for _ in range(rounds):
        for contestant in contestants:
            turns[contestant.name].append(turn(contestant, seconds, rate))
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
