"""Hooks of schemathesis, which its command line loads."""

from typing import Any

import schemathesis

_UNKNOWN_HEADER = "x-schemathesis-unknown-property"


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Apply rules that JSON Schema cannot express: no integer with a fraction of .0, no id twice in a batch."""
    if isinstance(case.body, dict):
        case.body = _distinct(_whole(case.body))


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Leave out requests whose only fault is an unknown header: HTTP allows those."""
    return _UNKNOWN_HEADER not in (case.headers or {})


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value


def _distinct(body: Any) -> Any:
    requests = body.get("requests") if isinstance(body, dict) else None
    seen: set[str] = set()
    for number, request in enumerate(requests if isinstance(requests, list) else ()):
        decision_id = request.get("decision_id") if isinstance(request, dict) else None
        if isinstance(decision_id, str):
            if decision_id in seen:
                request["decision_id"] = f"{number}-{decision_id}"[: max(len(decision_id), 8)]
            seen.add(request["decision_id"])
    return body
