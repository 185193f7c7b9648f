"""A step of a migration, and what it finds."""

from dataclasses import dataclass
from typing import Protocol

from lifecycle.settings.platform import Settings


@dataclass(frozen=True)
class Finding:
    """What a step found in a home, and what it does about it."""

    step: str
    found: str
    action: str
    seconds: float
    """Rough duration of the action."""


class Step(Protocol):
    """One idempotent part of a migration."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    def find(self, settings: Settings) -> Finding | None:
        """What is due; ``None`` if nothing is. Writes nothing.

        Raises
        ------
        LifecycleError
            If the home cannot be read.
        """

    def run(self, settings: Settings) -> None:
        """Do what is due.

        Raises
        ------
        LifecycleError
            If it fails; the step then stays due.
        """
