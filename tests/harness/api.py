"""Settings and address of a server in this process."""

from typing import Any

from serving.contract.documents import DecisionRecord
from serving.settings import ServingSettings
from tests.harness.small_models import MODEL, SmallStore

URL = f"/v1/models/{MODEL}/score"


def settings_of(store: SmallStore, **changes: Any) -> ServingSettings:
    environment = {key.removeprefix("SERVING_").lower(): value for key, value in store.environment().items()}
    return ServingSettings(
        **{key: environment[key] for key in ServingSettings.model_fields if key in environment} | changes
    )


def logged(store: SmallStore) -> list[DecisionRecord]:
    return store.decisions()
