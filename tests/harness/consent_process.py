"""Approves candidates in a process of its own, which may be killed; prints each act's number once it is acknowledged.

Arguments: home, name of the person, number of candidates.
"""

import datetime as dt
import sys
from pathlib import Path

from lifecycle.releases.consents import Person
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys

MODEL = "card_fraud"


def candidate(number: int) -> str:
    """Digest of a candidate; a consent needs nothing else of it."""
    return f"{number:064x}"


def act(home: Path, name: str, count: int) -> None:
    """Approve candidates; a command that is repeated writes nothing again."""
    settings, person = Settings(home=home), Person(name, "ops")
    consents = ReleaseStore(settings.release_store, ensure_keys(settings)).consents
    for number in range(count):
        now = dt.datetime.now(dt.UTC)
        given = consents.approve(MODEL, candidate(number), person, reason="r", days=30, now=now)
        sys.stdout.write(f"{given.number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    act(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
