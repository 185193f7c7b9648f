"""Writes decisions until it is killed; prints each id once it is recorded. Arguments: folder, durability, prefix."""

import asyncio
import sys
from pathlib import Path

from serving.log.writer import DecisionLog
from tests.harness.records import record


def print_flushed(text: str) -> None:
    """Print a line that the reader gets even if this process is killed next."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def write(directory: Path, durability: str, prefix: str) -> None:
    """Record three decisions at a time and print their ids."""
    log = DecisionLog(directory, durability="fsync" if durability == "fsync" else "written", segment_bytes=20_000)
    print_flushed(f"cut {log.open()}")
    index = 0
    while True:
        ids = [f"{prefix}-{index + each}" for each in range(3)]
        index += 3
        futures = [log.record([record(decision_id)]) for decision_id in ids]
        for decision_id, future in zip(ids, futures, strict=True):
            if future is not None:
                await future
            print_flushed(decision_id)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
