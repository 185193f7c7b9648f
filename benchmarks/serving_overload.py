"""Three times the load that a server can take: accepted requests stay fast, the others are rejected at once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving_claims import at_least, at_most
from benchmarks.serving_load import Answer, OpenLoop, Tally, closed_loop, on_uvloop
from benchmarks.serving_models import RowRequests
from benchmarks.serving_servers import Cores, Server, pinned, running
from benchmarks.serving_trial import Outcome, ground

MAX_IN_FLIGHT = 4
OVERLOAD = 3.0
UNLOADED_SHARE = 0.2
"""Of the capacity: how much a server is offered that counts as unloaded."""
CONNECTIONS = 256
CAPACITY_SECONDS = 3.0
UNLOADED_SECONDS = 8.0
RECOVERY_SECONDS = 4.0
SETTLING_SECONDS = 1.0
RECENT_DECISIONS = 1000
"""Remembered answers are memory that grows by design: few of them, so that a leak is not hidden behind their growth."""
UNANSWERED_PERCENT = 0.5
"""Rejections allowed afterwards in addition to the usual share: with a cap of four, a pause of 5 ms causes some."""
SHED = (429, 503)
_SAMPLE_SECONDS = 0.5


class Offered(NamedTuple):
    """Outcomes of one phase's requests."""

    phase: str
    rate: float
    answers: list[Answer]
    resident_mb: list[float]
    late_p99_ms: float


def overload_trial(cores: Cores, seconds: float) -> Outcome:
    """Measure the capacity with every decision explained, then offer three times that.

    Latency of what is accepted counts from when it was due, that of what is turned away from when it was sent.
    """
    with ground(cores) as place:
        requests = RowRequests(place.trained, place.trained.approved_rows(), explained_every=1)
        settings = {"max_in_flight": f"{MAX_IN_FLIGHT}", "recent_decisions": f"{RECENT_DECISIONS}"}
        server = place.start(place.home.environment(), **settings)
        with running(server), pinned(cores.load):
            capacity = _capacity(server, requests)
            unloaded = on_uvloop(_offer(server, requests, "unloaded", UNLOADED_SHARE * capacity, UNLOADED_SECONDS))
            overloaded, after = on_uvloop(_overload(server, requests, capacity, seconds))
    return _outcome(capacity, seconds, unloaded, overloaded, after)


def _capacity(server: Server, requests: RowRequests) -> float:
    """Requests a second with as many in flight as the cap allows."""
    tally = Tally()
    load = closed_loop(server.port, requests, tally, connections=MAX_IN_FLIGHT, seconds=CAPACITY_SECONDS)
    took = on_uvloop(load)
    return tally.statuses[200] / took


async def _offer(
    server: Server, requests: RowRequests, phase: str, rate: float, seconds: float, delay: float = 0.0
) -> Offered:
    await asyncio.sleep(delay)
    answers: list[Answer] = []
    opened = OpenLoop(server.port, requests, answers.append, rate=rate, connections=CONNECTIONS)
    sampling = asyncio.create_task(_sampled(server))
    await opened.run(seconds)
    sampling.cancel()
    resident = await sampling
    return Offered(phase, rate, answers, resident, float(np.quantile(opened.lateness, 0.99)) * 1e3)


async def _sampled(server: Server) -> list[float]:
    """Memory of the server until cancelled."""
    members, samples = server.members(), []
    try:
        while True:
            samples.append(server.footprint(members).resident_mb)
            await asyncio.sleep(_SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return samples


async def _overload(server: Server, requests: RowRequests, capacity: float, seconds: float) -> tuple[Offered, Offered]:
    """The overload, and as little load as before from the moment on that it ends, whatever is still waiting then."""
    over = _offer(server, requests, "overloaded", OVERLOAD * capacity, seconds)
    calm = _offer(server, requests, "afterwards", UNLOADED_SHARE * capacity, RECOVERY_SECONDS, delay=seconds)
    overloaded, after = await asyncio.gather(over, calm)
    return overloaded, after


def accepted_ms(offered: Offered, after_seconds: float = 0.0) -> NDArray[np.float64]:
    """Latencies of accepted requests that were due `after_seconds` into the phase or later, from when they were due."""
    kept = _due_after(offered, after_seconds)
    return np.array([answer.answered_at - answer.due_at for answer in kept if answer.status == 200]) * 1e3


def shed_ms(offered: Offered) -> NDArray[np.float64]:
    """Latencies of rejected requests, from when they were sent."""
    kept = [answer for answer in offered.answers if answer.status in SHED]
    return np.array([answer.answered_at - answer.sent_at for answer in kept]) * 1e3


def _due_after(offered: Offered, seconds: float) -> list[Answer]:
    """Requests that were due so long into the phase or later."""
    begun_at = min(answer.due_at for answer in offered.answers)
    return [answer for answer in offered.answers if answer.due_at >= begun_at + seconds]


def _row(offered: Offered, after_seconds: float = 0.0) -> dict[str, Any]:
    statuses = Counter(answer.status for answer in offered.answers)
    accepted, shed = accepted_ms(offered, after_seconds), shed_ms(offered)
    return {
        "phase": offered.phase,
        "rate": offered.rate,
        "requests": len(offered.answers),
        "accepted": statuses[200],
        "shed": len(shed),
        "other": len(offered.answers) - statuses[200] - len(shed),
        "p50_ms": _quantile(accepted, 0.5),
        "p99_ms": _quantile(accepted, 0.99),
        "shed_p99_ms": _quantile(shed, 0.99) if len(shed) else None,
        "shed_max_ms": float(shed.max()) if len(shed) else None,
        "late_p99_ms": offered.late_p99_ms,
        "rss_first_mb": offered.resident_mb[0],
        "rss_last_mb": offered.resident_mb[-1],
    }


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def growth_mb(samples: list[float]) -> float:
    """How much more memory the last quarter's samples show than the second quarter's, in medians.

    Examples
    --------
    >>> growth_mb([10, 80, 90, 90, 90, 90, 91, 91])
    1.0
    """
    quarter = max(1, len(samples) // 4)
    settled = samples[quarter : 2 * quarter] or samples[:1]
    return float(np.median(samples[-quarter:]) - np.median(settled))


def allowed_growth_mb(samples: list[float]) -> float:
    """Growth that counts as flat: 2 % or 4 MB, since an allocator keeps freed memory."""
    return max(4.0, 0.02 * float(np.median(samples)))


def _unanswered_percent(answers: Sequence[Answer]) -> float:
    return 100 * sum(answer.status != 200 for answer in answers) / len(answers)


def _outcome(capacity: float, seconds: float, unloaded: Offered, overloaded: Offered, after: Offered) -> Outcome:
    rows = [_row(unloaded), _row(overloaded), _row(after, SETTLING_SECONDS)]
    calm, busy, settled = rows
    usual = _unanswered_percent(unloaded.answers)
    late = _unanswered_percent(_due_after(after, SETTLING_SECONDS))
    memory = overloaded.resident_mb
    shed_p99 = float("nan") if busy["shed_p99_ms"] is None else busy["shed_p99_ms"]
    claims = [
        at_least("requests that were turned away", busy["shed"], 1),
        at_most("p99 of accepted requests of the unloaded one", busy["p99_ms"] / calm["p99_ms"], 5.0),
        at_most("p99 of refusals of the unloaded p99", shed_p99 / calm["p99_ms"], 5.0),
        at_most("requests with neither a decision nor 429 or 503", busy["other"], 0),
        at_most("MB that memory grew by", growth_mb(memory), allowed_growth_mb(memory)),
        at_most("% not answered 1 s afterwards", late, usual + UNANSWERED_PERCENT),
        at_most("p50 1 s afterwards of the unloaded one", settled["p50_ms"] / calm["p50_ms"], 2.0),
    ]
    columns = {"phase": "", "rate": ",.0f", "requests": ",d", "accepted": ",d", "shed": ",d", "other": ",d"}
    columns |= dict.fromkeys(("p50_ms", "p99_ms", "shed_p99_ms", "shed_max_ms", "late_p99_ms"), ".2f")
    columns |= dict.fromkeys(("rss_first_mb", "rss_last_mb"), ".1f")
    notes = {"capacity": capacity, "max_in_flight": MAX_IN_FLIGHT, "seconds": seconds, "resident_mb": memory}
    return Outcome("overload", rows, columns, claims, notes)
