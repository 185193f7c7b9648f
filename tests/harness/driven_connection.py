"""A connection as the event loop drives it, with a transport that keeps what is written."""

import asyncio
import json
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.server import ServerState

from serving.http.listener import listener_of
from serving.http.protocol import ServingProtocol
from serving.process.app import ServingApp


class Transport(asyncio.Transport):
    """Keeps what was written, and whether it was closed; a close tells the protocol, as the event loop does."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False
        self.unread_bytes = 0
        """What the caller has left unread; set by a test."""
        self._protocol = weakref.ref(protocol)

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        protocol = self._protocol()
        if protocol is not None and not self.is_closed:
            asyncio.get_running_loop().call_soon(protocol.connection_lost, None)
        self.is_closed = True

    def abort(self) -> None:
        self.close()

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def pause_reading(self) -> None:
        """Nothing is read from here."""

    def resume_reading(self) -> None:
        """Nothing is read from here."""


class Connection:
    """One connection to the application."""

    def __init__(self, app: ServingApp) -> None:
        self.state = ServerState()
        self._batcher = app.batcher
        self.protocol = ServingProtocol(config=listener_of(app).config, server_state=self.state, app_state={})
        self.transport = Transport(self.protocol)
        self.protocol.connection_made(self.transport)

    def _waiting(self) -> int:
        return 0 if self._batcher is None else self._batcher.waiting

    async def settled(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        while self.state.tasks or self._waiting() or (self.protocol.pipeline and not self.transport.is_closed):
            await asyncio.sleep(0.001)

    async def ask(self, *data: bytes) -> Any:
        """Send requests one by one; the last answer, its head put to its body."""
        for request in data:
            self.protocol.data_received(request)
            await self.settled()
        return self.answers[-1]

    @property
    def answers(self) -> list[Any]:
        answers, sent = [], b"".join(self.transport.written)
        while sent:
            head, _, rest = sent.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = json.loads(rest[:length])
            answers.append({"status": int(head.split(b" ")[1]), "is_last": b"connection: close" in head, **body})
            sent = rest[length:]
        return answers


def drive(app: ServingApp, steps: Callable[[Connection], Awaitable[None]]) -> Connection:
    """Do `steps` with a new connection, and wait until all is answered."""

    async def run() -> Connection:
        connection = Connection(app)
        await steps(connection)
        await connection.settled()
        app.parts.rejections.close()
        return connection

    return asyncio.run(run())
