"""An audit tells recorded reasons, and hides derived features, which follow from what the caller sent."""

import json
from typing import Any

import msgspec
import pytest
import typer

from lifecycle.artefacts.replay import Replayer
from lifecycle.errors import LifecycleError
from serving.contract.documents import DecisionRecord
from serving.log.segments import line_of, segment_name
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.commands import said
from tests.harness.derived_models import CARRIED, NIGHT, derived_files
from tests.harness.in_process_client import InProcessClient
from tests.harness.small_models import MODEL, SmallStore, score_request

MEAN = repr(100 / 3)
URL = f"/v1/models/{MODEL}/score"


@pytest.fixture(autouse=True)
def home(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    monkeypatch.delenv("COLUMNS", raising=False)


def decided(store: SmallStore, **changes: Any) -> DecisionRecord:
    with InProcessClient(create_app(settings_of(store))) as client:
        body, headers = score_request("d1", **changes), {"X-Explain": "always"}
        assert client.post(URL, json=body, headers=headers).status_code == 200
    [record] = store.decisions()
    return record


def test_the_reasons_are_those_of_the_record(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1, can_explain=True)
    record = decided(store)
    assert record.reasons
    [part] = json.loads(said(app, "audit", "d1", "--json"))["records"]
    assert part["decision"]["reasons"] == [*msgspec.to_builtins(record.reasons)]
    assert [(line["name"], line["is_same"]) for line in part["replay"]["lines"]][-1] == ("reasons", True)
    assert all(reason.text in said(app, "audit", "d1") for reason in record.reasons)


def test_derived_features_and_facts_are_shown_on_request_only(app: typer.Typer, store: SmallStore) -> None:
    store.publish_files(1, derived_files(1))
    record = decided(store, occurred_at=NIGHT, features=CARRIED)
    assert record.features is not None
    for output in (said(app, "audit", "d1"), said(app, "audit", "d1", "--json")):
        assert MEAN not in output
        assert "mean_amount_7d" in output, "that it follows again is told"
    [part] = json.loads(said(app, "audit", "d1", "--json", "--values"))["records"]
    assert part["decision"]["values"]["facts"] == {"spent_7d": 100.0, "count_7d": 3}
    assert part["decision"]["values"]["features"]["mean_amount_7d"] == 100 / 3
    other = msgspec.structs.replace(record, features=(*record.features[:3], 47_110.5), decision_id="d2")
    (store.settings.decision_log_dir / segment_name(2)).write_bytes(line_of(other))
    output = said(app, "audit", "d2", exit_code=1)
    assert "DIFFERS: recorded not shown, replayed not shown" in output
    assert "not the same: mean_amount_7d" in output
    assert "47110.5" not in output


def test_a_bundle_of_another_model_scores_nothing(store: SmallStore) -> None:
    store.publish(1)
    record, other = decided(store), store.seal(2, model="another")
    replayer = Replayer(store.settings.release_store, store.keys.public_keys)
    with pytest.raises(LifecycleError, match=f"Expected a bundle of {MODEL} with the features of .* - at {other}"):
        replayer.otherwise(record, other)
    attempt = msgspec.structs.replace(record, features=None)
    with pytest.raises(LifecycleError, match="missing one - at decision d1"):
        replayer.otherwise(attempt, other)
