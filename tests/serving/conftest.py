from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.failing_disk import Disk
from tests.serving.small_models import SmallStore


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    return SmallStore.under(tmp_path / "home")


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.is_running.set()
