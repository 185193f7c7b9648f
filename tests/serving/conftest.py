import os
from collections.abc import Iterator

import pytest

from tests.harness.failing_disk import Disk
from tests.harness.failure_rows import Row, row_of


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk for the log; while it is full or broken, the log's own look at it fails, too."""
    disk = Disk()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if violation := disk.write_violation or disk.sync_violation:
            raise OSError(violation, os.strerror(violation))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    yield disk
    disk.is_running.set()


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    """The row of docs/serving.md that names the test; afterwards, what it says must all have been seen."""
    row = row_of(request.node.name)
    yield row
    row.check_complete()
