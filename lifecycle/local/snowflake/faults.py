"""Faults that tests inject."""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """Effect of a fault."""

    DROP = "drop"
    """The connection closes without a response; the connector then retries."""
    TRUNCATE = "truncate"
    """The connection closes in the middle of the response; the connector raises the error of `requests`."""
    UNAVAILABLE = "unavailable"
    """HTTP 503; the connector retries."""
    DELAY = "delay"
    """The statement takes longer."""
    EXPIRE = "expire"
    """The session's token has expired and can be renewed."""
    END = "end"
    """The session's token and its master token have expired: the client has to log in again."""
    KILL = "kill"
    """The endpoint kills itself (SIGKILL)."""


@dataclass
class Fault:
    """Affects `times` statements that contain `match`, beginning with the `nth`; ``times=0`` affects all of them."""

    match: str
    effect: Effect
    nth: int = 1
    times: int = 1
    after: bool = False
    """Whether the statement runs first."""
    seconds: float = 0.0
    match_count: int = 0
    effect_count: int = 0


class Faults:
    """The faults that are active, with their counts."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults = []

    def of(self, sql: str) -> list[Fault]:
        """The faults that affect this statement; counts the statement, so call it once per request."""
        due = []
        for fault in self._faults:
            if fault.match.lower() not in sql.lower():
                continue
            fault.match_count += 1
            if fault.match_count >= fault.nth and (not fault.times or fault.effect_count < fault.times):
                fault.effect_count += 1
                due.append(fault)
        return due


def die() -> None:
    """Kill this process as a crash would."""
    os.kill(os.getpid(), signal.SIGKILL)
