"""The real server under a fuzzer: with other time limits, and checked after each attack."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.harness.paths import ROOT
from tests.harness.raw_http import PLANTED, Answer, RawConnection, memory_bytes, request, settled_memory_bytes
from tests.harness.server_process import URL, Server, eventually
from tests.harness.small_models import MODEL, SmallStore, golden_rows, score_request

MEGABYTE = 1024 * 1024
DOCUMENTED = {200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 503}
BATCH = f"{URL}/batch"
INFER = f"/v2/models/{MODEL}/infer"
INVOCATIONS = "/invocations"
_PATIENCE = """
import functools
from serving.http import protocol
from serving.process import server
server.DecisionLog = functools.partial(server.DecisionLog, stall_seconds=300)
protocol.HEAD_SECONDS = protocol.UNREAD_SECONDS = {seconds}
protocol.ServingProtocol.max_connections = 300
from serving.__main__ import main
main()
"""


@dataclass
class Fuzzed:
    """A running server with the checks after each attack."""

    server: Server
    memory_before: int = 0

    def connect(self, seconds: float = 60) -> RawConnection:
        return RawConnection(str(self.server.client.base_url), seconds)

    def say(self, *parts: bytes) -> Answer | None:
        """The answer to bytes on a new connection."""
        with self.connect() as connection:
            connection.send(*parts)
            return connection.answer()

    def check_answer(self, answer: Answer | None) -> None:
        """Fail if an answer is not documented, or repeats a planted value."""
        assert answer is not None
        assert answer.status in DOCUMENTED, answer
        # A decision repeats its own ids; a refusal must repeat nothing.
        assert answer.status == 200 or PLANTED.encode() not in answer.body
        assert b"Traceback" not in answer.body
        assert PLANTED not in str(answer.headers)
        if answer.headers.get("content-type") == "application/json" and answer.body.strip():
            json.loads(answer.body)

    def check_alive(self) -> None:
        """Fail unless a valid request gets the right margin, nothing is left in flight and memory has not grown."""
        row = golden_rows(1)[3]
        body = json.dumps(score_request("alive", features=row.features)).encode()
        answer = self.say(request(URL, body))
        assert answer is not None
        assert (answer.status, answer.json()["margin"]) == (200, row.margin)
        eventually(lambda: "serving_requests_in_flight 0.0" in self.server.client.get("/metrics").text)
        most = self.memory_before + 64 * MEGABYTE
        assert settled_memory_bytes(self.server.process.pid, most) < most

    def check_log(self) -> None:
        """Fail if the server's log holds a planted value or an error."""
        assert [line for line in self.server.said if PLANTED in line] == []
        faults = [line for line in self.server.said if "Traceback" in line or " ERROR " in line]
        assert not faults, "".join(self.server.said)[-6000:]


@contextlib.contextmanager
def fuzzed(store: SmallStore, seconds: float = 60, **environment: str) -> Iterator[Fuzzed]:
    """A server of `store` that waits `seconds` for a head or a reader of its answer, and without limit for the disk."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PATIENCE.format(seconds=seconds)],
        env=store.environment(**environment), cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    server = Server(process)
    try:
        server.begin()
        target = Fuzzed(server)
        target.say(request(URL, json.dumps(score_request("first")).encode()))
        target.memory_before = memory_bytes(process.pid)
        yield target
        target.check_alive()
        server.stop()
        assert process.returncode in {0, -15}
        target.check_log()
    finally:
        server.close()
