"""The server's real parts, for connections that a test drives."""

from collections.abc import Iterator

import pytest

from serving.process.app import ServingApp
from tests.harness.driven_app import started
from tests.harness.small_models import SmallStore


@pytest.fixture
def app(store: SmallStore) -> Iterator[ServingApp]:
    """An application whose one release can explain."""
    with started(store) as app:
        yield app
