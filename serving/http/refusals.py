"""Maps any failure of a request to the refusal that the caller gets."""

import logging

from serving.errors import RequestError
from serving.http.errors import internal_error

logger = logging.getLogger(__name__)


def refusal_of(error: Exception) -> RequestError:
    """What a caller is told of an error; a fault of ours is for the server's log, too."""
    if isinstance(error, RequestError):
        return error
    logger.error("a request failed", exc_info=error)
    return internal_error()
