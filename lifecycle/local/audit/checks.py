"""Results of the checks of an audit."""

from collections.abc import Iterable
from typing import Literal

import msgspec

CheckOutcome = Literal["passed", "failed", "unknown"]


class Check(msgspec.Struct, frozen=True):
    """One check: `unknown` says that the records do not suffice to decide it, and `detail` why."""

    name: str
    outcome: CheckOutcome
    detail: str


def passed(name: str, detail: str) -> Check:
    """A check that passed."""
    return Check(name, "passed", detail)


def failed(name: str, detail: str) -> Check:
    """A check that failed."""
    return Check(name, "failed", detail)


def unknown(name: str, detail: str) -> Check:
    """A check that cannot be decided."""
    return Check(name, "unknown", detail)


def none_failed(checks: Iterable[Check]) -> bool:
    """Whether no check failed; one that cannot be decided has not failed."""
    return all(check.outcome != "failed" for check in checks)
