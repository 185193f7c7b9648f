"""``POST /v1/models/{model}/score``: one decision."""

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.api.errors import JsonResponse, error_response
from serving.errors import BodyTooLargeError, RequestError
from serving.metrics import Metrics
from serving.scoring import Scoring


def score_routes(scoring: Scoring, metrics: Metrics, max_body_bytes: int) -> list[Route]:
    """The route that scores; its handler takes the raw request, since the model's schema is known only at run time."""

    async def score(request: Request) -> Response:
        arrived_at = time.perf_counter()
        metrics.in_flight += 1
        try:
            body = await read_body(request, max_body_bytes)
            response: Response = JsonResponse(await scoring.answer(request.path_params["model"], body, arrived_at))
        except RequestError as error:
            metrics.failed(error.kind)
            response = error_response(error)
        finally:
            metrics.in_flight -= 1
        return response

    return [Route("/v1/models/{model}/score", score, methods=["POST"])]


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The request's body.

    Raises
    ------
    BodyTooLargeError
        As soon as more than `max_bytes` are announced or have come.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLargeError(f"Expected at most {max_bytes} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLargeError(f"Expected at most {max_bytes} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
