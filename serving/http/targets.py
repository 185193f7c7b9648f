"""Request targets of the native scoring routes."""

import functools
import urllib.parse
from typing import Any, Final, NamedTuple

import httptools

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


class ScoreTarget(NamedTuple):
    """A request target of the route for one decision; `path` is decoded, `raw_path` and `query` are as sent."""

    model: str
    path: str
    raw_path: bytes
    query: bytes


@functools.lru_cache(maxsize=64)
def score_target(url: bytes) -> ScoreTarget | None:
    """The parts of a request target; ``None`` if it is not for one decision.

    Raises
    ------
    httptools.HttpParserInvalidURLError, UnicodeDecodeError
        If it is no URL, or not ASCII.

    Examples
    --------
    >>> score_target(b"/v1/models/a%5Fb/score?c=d")
    ScoreTarget(model='a_b', path='/v1/models/a_b/score', raw_path=b'/v1/models/a%5Fb/score', query=b'c=d')
    >>> score_target(b"/v1/models/card_fraud/score/batch") is None
    True
    """
    parsed = httptools.parse_url(url)
    path = urllib.parse.unquote(parsed.path.decode("ascii"))
    found = _target_of(path)
    return None if found is None or found[1] else ScoreTarget(found[0], path, parsed.path, parsed.query or b"")
