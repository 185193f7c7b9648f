"""uvicorn's server, with time limits of connections, draining, and certificates that are loaded again.

On SIGTERM the server drains: it says that it is not ready, keeps accepting and answering for `drain_seconds` while load
balancers notice, and each answer closes its connection. Then the listener closes and the answers that are due are
finished. A second SIGTERM, or SIGINT, ends the drain at once.
"""

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Final

import uvicorn

from serving.contract.documents import ContractError
from serving.http.protocol import HEAD_SECONDS, ServingProtocol
from serving.http.signals import Signals

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients keep idle connections, so that none is closed while a request is on its way."""

TlsFiles = Callable[[], Mapping[str, Any]]
"""Reads the TLS files; returns keyword arguments ``ssl_*`` of `uvicorn.Config`, none without TLS."""

logger = logging.getLogger(__name__)


class Listener(uvicorn.Server):
    """The listening server of one process.

    Parameters
    ----------
    make_config
        Makes uvicorn's configuration; called again for each reload of the certificates.
    drain_seconds
        Time from SIGTERM until the listener closes.
    """

    def __init__(self, make_config: Callable[[], uvicorn.Config], signals: Signals, drain_seconds: float) -> None:
        super().__init__(make_config())
        self._make_config = make_config
        self._signals = signals
        self._drain_seconds = drain_seconds
        self._drained_at: float | None = None
        self._sockets: Sequence[socket.socket] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`; uvicorn would give a silent caller a minute for the handshake of TLS."""
        if not sockets:
            raise ValueError("Expected sockets to listen on, got none")
        self._sockets = sockets
        await super().startup([])
        await self._listen(self.config.ssl)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first SIGTERM, stop on any other signal (runs as a signal handler)."""
        if sig == signal.SIGTERM and self._drain_seconds > 0 and not self._signals.is_draining and not self.should_exit:
            self._signals.is_draining = True
        else:
            super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Write the last log lines before uvicorn raises a captured signal again, which ends the process at once."""
        with super().capture_signals():
            yield
            for handler in logging.getLogger().handlers:
                handler.flush()

    async def on_tick(self, counter: int) -> bool:
        """Follow the signals, and look at the connections each second; called ten times a second."""
        now = time.monotonic()
        if self._signals.is_draining:
            if self._drained_at is None:
                logger.info("draining for %g s, then stopping", self._drain_seconds)
                self._drained_at = now + self._drain_seconds
                for connection in self._connections():
                    connection.drain()
            elif now >= self._drained_at and not self.should_exit:
                super().handle_exit(signal.SIGTERM, None)
        if self._signals.is_reload_due:
            self._signals.is_reload_due = False
            await self._reload_certificates()
        if counter % 10 == 0:
            for connection in self._connections():
                connection.close_if_silent(now)
        return await super().on_tick(counter)

    def _connections(self) -> list[ServingProtocol]:
        return [each for each in self.server_state.connections if isinstance(each, ServingProtocol)]

    async def _reload_certificates(self) -> None:
        """Listen with the current TLS files; an invalid file changes nothing, and existing connections go on."""
        if self.config.ssl is None:
            logger.info("SIGHUP changes nothing: this server has no certificates")
            return
        try:
            config = await asyncio.to_thread(self._make_config)
        except ContractError as error:
            logger.error("the previous certificates stay in force: %s", error)
            return
        await self._listen(config.ssl)
        logger.info("the certificates were loaded again")

    async def _listen(self, context: ssl.SSLContext | None) -> None:
        # New listeners share the sockets' queues with the previous ones, so no connection is lost in between.
        protocol: Any = self.config.http_protocol_class
        connection = functools.partial(
            protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        previous, self._sockets = self.servers, [sock.dup() for sock in self._sockets]
        self.servers = [
            await loop.create_server(
                connection,
                sock=sock,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HEAD_SECONDS,
                backlog=self.config.backlog,
            )
            for sock in self._sockets
        ]
        for server in previous:
            server.close()


def listener_of(
    app: Any,
    *,
    signals: Signals | None = None,
    shutdown_seconds: int | None = None,
    drain_seconds: float = 0,
    keep_alive_seconds: int = KEEP_ALIVE_SECONDS,
    tls: TlsFiles = dict,
) -> Listener:
    """A server of an application, ready to ``run(sockets=[...])``.

    Parameters
    ----------
    shutdown_seconds
        Longest time to finish the requests in flight at shutdown.
    drain_seconds
        Time from SIGTERM until the listener closes.
    keep_alive_seconds
        Time until an idle connection is closed.

    Raises
    ------
    ContractError
        If the TLS files cannot be read or do not match.
    """

    def make_config() -> uvicorn.Config:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            http=ServingProtocol,
            ws="none",
            interface="asgi3",  # uvicorn cannot detect it for an application whose call returns its own coroutine
            lifespan="on",
            workers=1,  # else uvicorn reads WEB_CONCURRENCY, which may hold anything
            server_header=False,
            proxy_headers=False,  # the caller's address is not used, and any local process could choose it
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=shutdown_seconds,
            **tls(),
        )
        try:
            config.load()
        except OSError as error:
            # OpenSSL's errors too: a key that does not match the certificate, or a wrong password.
            raise ContractError(
                f"Expected a certificate, its private key and authorities in PEM, got: {error.strerror} - at "
                "SERVING_TLS_CERTIFICATE, SERVING_TLS_KEY, SERVING_TLS_KEY_PASSWORD_FILE and SERVING_TLS_CLIENT_CA"
            ) from error
        return config

    return Listener(make_config, signals or Signals(), drain_seconds)
