from pathlib import Path

import pytest

from tests.serving.small_models import SmallStore


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    return SmallStore.under(tmp_path / "home")
