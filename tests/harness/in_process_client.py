"""A client of an application that runs on an event loop in this process."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx


class InProcessClient:
    """Starts the application on entry, asks it over ASGI, and stops it on exit."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._running = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        self._client: httpx.AsyncClient = self._wait(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self._running.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.request("POST", path, **body)

    def post_chunks(self, path: str, chunks: list[bytes]) -> httpx.Response:
        """Send a body in chunks, its length not announced."""

        async def stream() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return self.request("POST", path, content=stream())

    def request(self, method: str, path: str, **body: Any) -> httpx.Response:
        response: httpx.Response = self._wait(self._client.request(method, path, **body))
        return response

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=120)

    async def _begin(self) -> httpx.AsyncClient:
        await self._running.enter_async_context(self.app.router.lifespan_context(self.app))
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return await self._running.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))
