from typing import Any

import pytest

from lifecycle.assets.resources import Stores
from lifecycle.modelling.training import Trained
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_model import spec_with
from tests.harness.toy_platform import FakeRegistry, without_reasons


@pytest.fixture(scope="session")
def spec() -> RiskModelSpec:
    """The toy model without reasons, promoted automatically; a few decisions give a verdict."""
    drift: dict[str, Any] = {"minimum_rows": 100}
    return spec_with(reason_texts=None, promotion={"mode": "auto"}, drift=drift)


@pytest.fixture(scope="session")
def model(trained: Trained) -> Trained:
    return without_reasons(trained)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    registry = FakeRegistry()
    monkeypatch.setattr(Stores, "registry", lambda _: registry)
    return registry


@pytest.fixture
def stores(settings: Settings) -> Stores:
    """The stores of an empty installation."""
    settings.root.mkdir(parents=True, exist_ok=True)
    return Stores()
