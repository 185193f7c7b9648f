"""Request targets of the native scoring routes."""

import functools
from typing import Any, Final

PREFIX: Final = "/v1/models/"


def target(scope: Any) -> tuple[str, bool] | None:
    """The model and whether it is a batch, or ``None`` if the request is for neither of the two routes.

    Examples
    --------
    >>> target({"type": "http", "method": "POST", "path": "/v1/models/card_fraud/score/batch"})
    ('card_fraud', True)
    >>> target({"type": "http", "method": "GET", "path": "/v1/models/card_fraud"}) is None
    True
    """
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    return _target_of(scope["path"])


@functools.lru_cache(maxsize=64)
def _target_of(path: str) -> tuple[str, bool] | None:
    if not path.startswith(PREFIX):
        return None
    model, _, route = path[len(PREFIX) :].partition("/")
    if route == "score":
        return model, False
    return (model, True) if route == "score/batch" else None
