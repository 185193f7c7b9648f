"""Kill -9 under load: what was acknowledged is in the log exactly once, and the log verifies."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.serving_claims import at_least, at_most
from benchmarks.serving_load import LOST, Answer, ClosedLoop, answers_of, on_uvloop
from benchmarks.serving_models import RowRequests, request_number
from benchmarks.serving_servers import Cores, Server, pinned
from benchmarks.serving_trial import Answered, Ground, Outcome, decisions, ground, verified

CONNECTIONS = 8
LOAD_SECONDS = (0.3, 1.2)
"""Seconds that a server runs under load, drawn for each kill."""
EXPLAINED_EVERY = 50


class Acknowledged:
    """Margins of the answers by request, and the requests without an answer."""

    def __init__(self) -> None:
        self.margins: dict[int, float] = {}
        self.lost: list[int] = []
        self.refused = 0
        self._decode = msgspec.json.Decoder(Answered).decode

    def __call__(self, answer: Answer) -> None:
        """Note an answer."""
        if answer.status == 200:
            self.margins[answer.number] = self._decode(answer.body).margin
        elif answer.status == LOST:
            self.lost.append(answer.number)
        else:
            self.refused += 1


def kills_trial(cores: Cores, count: int, durability: str) -> Outcome:
    """Kill a server `count` times under load and restart it on the same log.

    What was sent and not answered is sent again after the restart with the same decision id, as a caller would: it must
    be answered, and still be in the log once, whether the server that died had recorded it or not.
    """
    randomness = random.Random(1)  # noqa: S311  # when to kill, not a secret
    told = Acknowledged()
    with ground(cores) as place:
        environment = place.home.environment()
        log_dir = Path(environment["SERVING_LOG_DIR"])
        requests = RowRequests(place.trained, place.trained.approved_rows(), explained_every=EXPLAINED_EVERY)
        rows = []
        for round_number in range(count + 1):
            began_at = time.perf_counter()
            server = place.start(environment, log_durability=durability)
            ready_seconds = time.perf_counter() - began_at
            is_last = round_number == count
            before, lost = len(told.margins), told.lost
            try:
                told.lost = []
                with pinned(cores.load):
                    seconds = None if is_last else randomness.uniform(*LOAD_SECONDS)
                    on_uvloop(_retry_and_load(server, requests, told, lost, seconds))
            finally:
                server.stop() if is_last else server.kill()
            rows.append(
                {
                    "start": round_number + 1,
                    "ready_s": ready_seconds,
                    "sent_again": len(lost),
                    "acknowledged": len(told.margins) - before,
                    "lost": len(told.lost),
                }
            )
        return _outcome(place, told, rows, log_dir, durability)


async def _retry_and_load(
    server: Server, requests: RowRequests, told: Acknowledged, lost: list[int], seconds: float | None
) -> None:
    """Repeat lost requests, then load the server and kill it after `seconds`; ``None`` leaves it running."""
    if lost:
        for answer in await answers_of(server.port, [(number, requests.encoded(number)) for number in lost]):
            told(answer)
    if seconds is None:
        return
    load = ClosedLoop(server.port, requests, told)
    await load.start(CONNECTIONS)
    await asyncio.sleep(seconds)
    os.killpg(server.process.pid, signal.SIGKILL)
    # The kernel still delivers what the server had written before it died.
    while load.connections_open:
        await asyncio.sleep(0.01)
    await load.stop()


def _outcome(place: Ground, told: Acknowledged, rows: list[dict[str, Any]], log_dir: Path, durability: str) -> Outcome:
    logged: Counter[int] = Counter()
    otherwise = 0
    for record in decisions(log_dir):
        number = request_number(record.decision_id)
        logged[number] += 1
        otherwise += told.margins.get(number, record.margin) != record.margin
    is_whole, said = verified(log_dir)
    torn = sum(path.stat().st_size for path in place.folder.rglob("*.torn"))
    claims = [
        at_least("acknowledged decisions", len(told.margins), 100 * (len(rows) - 1)),
        at_most("acknowledged decisions missing in the log", sum(not logged[number] for number in told.margins), 0),
        at_most("decisions in the log more than once", sum(times > 1 for times in logged.values()), 0),
        at_most("records with another margin than the answer", otherwise, 0),
        at_most("requests refused or never answered", told.refused + len(told.lost), 0),
        at_most("logs that do not verify", int(not is_whole), 0),
    ]
    notes = {
        "kills": len(rows) - 1,
        "durability": durability,
        "acknowledged": len(told.margins),
        "records": logged.total(),
        "torn_bytes_cut": torn,
        "verifier": said,
    }
    columns = {"start": "", "ready_s": ".2f", "sent_again": "d", "acknowledged": ",d", "lost": "d"}
    return Outcome("kills", rows, columns, claims, notes)
