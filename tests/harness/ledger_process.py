"""Appends to a ledger in a process of its own; prints the number of records once each append is acknowledged.

Arguments: home, name of the writer, number of events. Each event is appended twice, as a repeated command does.
"""

import sys
from pathlib import Path

from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.records import Actor, Event
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys


def event(writer: str, number: int) -> Event:
    """Event `number` of a writer."""
    return Event(
        kind="training",
        model="card_fraud",
        actor=Actor(kind="run", name=writer),
        subjects={"candidate": f"{number:064x}"},
        facts={"as_of": "2026-01-01"},
        occasion=writer,
    )


def append(home: Path, writer: str, count: int) -> None:
    """Append the events of a writer."""
    settings = Settings(home=home)
    ledger = Ledger(settings.release_store, ensure_keys(settings))
    for number in range(count):
        for _ in range(2):
            head = ledger.append(event(writer, number))
        sys.stdout.write(f"{number} {head.size}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    append(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
