"""The real server as a fuzzer wants it: with little patience, and watched for what it must never do."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.serving.raw_http import PLANTED, Answer, RawConnection, memory_bytes, request
from tests.serving.small_models import MODEL, SmallStore, golden_rows, score_request
from tests.serving.test_server_process import ROOT, URL, Server

MEGABYTE = 1024 * 1024
DOCUMENTED = {200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 503}
BATCH = f"{URL}/batch"
INFER = f"/v2/models/{MODEL}/infer"
INVOCATIONS = "/invocations"
_IMPATIENT = """
from serving import http_protocol
http_protocol.HEAD_SECONDS = http_protocol.UNREAD_SECONDS = 1.0
http_protocol.ServingProtocol.max_connections = 300
from serving.__main__ import main
main()
"""


@dataclass
class Fuzzed:
    """A running server and what it must still do after each attack."""

    server: Server
    memory_before: int = 0

    def connect(self, seconds: float = 10) -> RawConnection:
        return RawConnection(str(self.server.client.base_url), seconds)

    def say(self, *parts: bytes) -> Answer | None:
        """The answer to bytes on a connection of their own."""
        with self.connect() as connection:
            connection.send(*parts)
            return connection.answer()

    def check_answer(self, answer: Answer | None) -> None:
        """Fail if an answer is none of the documented ones, or tells what it must not."""
        assert answer is not None
        assert answer.status in DOCUMENTED, answer
        # A decision says whose it is; whoever is refused sent who knows what.
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
        metrics = self.server.client.get("/metrics").text
        assert "serving_requests_in_flight 0.0" in metrics
        assert memory_bytes(self.server.process.pid) - self.memory_before < 64 * MEGABYTE

    def check_log(self) -> None:
        """Fail if the server's log holds a planted value or says that the server failed."""
        assert [line for line in self.server.said if PLANTED in line] == []
        faults = [line for line in self.server.said if "Traceback" in line or " ERROR " in line]
        assert not faults, "".join(self.server.said)[-6000:]


@contextlib.contextmanager
def fuzzed(store: SmallStore, **environment: str) -> Iterator[Fuzzed]:
    """A server of `store` that waits a second for what it awaits."""
    settings: dict[str, Any] = {"SERVING_REQUEST_TIMEOUT_SECONDS": "1", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", _IMPATIENT],
        env=store.environment(**settings), cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    server = Server(process)
    try:
        server.begin()
        found = Fuzzed(server)
        found.say(request(URL, json.dumps(score_request("first")).encode()))
        found.memory_before = memory_bytes(process.pid)
        yield found
        found.check_alive()
        server.stop()
        assert process.returncode in {0, -15}
        found.check_log()
    finally:
        server.close()
