"""Faults that tests ask for."""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    """The connection ends without an answer; the connector then asks again."""
    TRUNCATE = "truncate"
    """The connection ends in the middle of the answer, which the connector lets through as an error of `requests`."""
    UNAVAILABLE = "unavailable"
    """HTTP 503; the connector asks again."""
    DELAY = "delay"
    """The statement takes longer."""
    EXPIRE = "expire"
    """The session's token has expired; renewing it helps."""
    END = "end"
    """The session's token and the one that renews it have expired: only a new login helps."""
    KILL = "kill"
    """The endpoint dies (SIGKILL)."""


@dataclass
class Fault:
    """Goes wrong from the `nth` statement on that has `match` in it, `times` times; ``times=0`` for always."""

    match: str
    effect: Effect
    nth: int = 1
    times: int = 1
    after: bool = False
    """Whether the statement takes effect first."""
    seconds: float = 0.0
    seen: int = 0
    happened: int = 0


class Faults:
    """What was asked for, and how often it came to pass."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Ask for one more."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Let everything go well again."""
        self._faults = []

    def of(self, sql: str) -> list[Fault]:
        """What befalls this statement; counts it. Asked once a request."""
        due = []
        for fault in self._faults:
            if fault.match.lower() not in sql.lower():
                continue
            fault.seen += 1
            if fault.seen >= fault.nth and (not fault.times or fault.happened < fault.times):
                fault.happened += 1
                due.append(fault)
        return due


def die() -> None:
    """End this process as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)
