"""One test for each failure of a release, as docs/serving.md tells it: what serves goes on."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from lifecycle.artefacts.bundles import write_bundle
from serving.artefacts.bundle import read_bundle
from serving.contract.documents import Deciding, ReasonTexts, decode, encode
from serving.process.app import create_app
from tests.harness.api import URL, settings_of
from tests.harness.failure_rows import Row
from tests.harness.in_process_client import InProcessClient
from tests.harness.release_files import release_path, resign
from tests.harness.slot_steps import canary, renamed, shadow
from tests.harness.small_models import EXAMPLE, MODEL, VERDICTS, SmallStore, candidate_files, lineage, score_request
from tests.harness.spoiled_bundles import Second, damaged_trees, golden_mismatch, newer_deciding, spoil


@contextlib.contextmanager
def served(store: SmallStore) -> Iterator[InProcessClient]:
    """A server that looks at the store when it is told to."""
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        yield client


def refused(row: Row, store: SmallStore, spoil: Callable[[Second], object], words: str) -> None:
    """Release 1 serves; release 4 with another champion, a canary and a shadow is spoilt before it is read."""
    store.publish(1)
    with served(store) as client:
        row.begins(client)
        store.publish(3)
        canary(store, 2)
        shadow(store, 4)
        spoil(Second(store))
        client.post("/v1/poll")
        answer = row.answers(client.post(URL, json=score_request("d1"))).json()
        [model] = client.get("/v1/models").json()["models"]
        ready = row.is_ready(client)
        row.moves(client)
    row.records(store, "d1")
    assert (answer["slot"], answer["release_number"]) == ("champion", 1)
    assert (model["state"], model["release_number"]) == ("failed", 1)
    assert words in model["error"]
    assert model["error"].endswith("; release 1 serves on")
    assert ready["models"][MODEL]["error"] == model["error"]


def test_the_store_goes_down(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store) as client:
        row.begins(client)
        shutil.rmtree(store.settings.release_store)
        assert "found no folder" in client.post("/v1/poll").json()["error"]
        assert row.answers(client.post(URL, json=score_request("d1"))).json()["release_number"] == 1
        assert "found no folder" in row.is_ready(client)["store"]["error"]
        row.moves(client)
        assert "serving_load_failures_total 0.0" in client.get("/metrics").text
    row.records(store, "d1")


def test_the_store_is_down_at_a_restart(row: Row, store: SmallStore) -> None:
    store.publish(1)
    canary(store, 2, 100)
    with served(store):
        pass
    shutil.rmtree(store.settings.release_store)
    with served(store) as client:
        row.begins(client)
        assert row.answers(client.post(URL, json=score_request("d1"))).json()["slot"] == "canary"
        assert row.is_ready(client)["store"]["seconds_since_read"] is None
        row.moves(client)
    row.records(store, "d1")


def test_the_store_is_down_at_the_first_start(row: Row, store: SmallStore) -> None:
    with served(store) as client:
        row.begins(client)
        row.answers(client.post(URL, json=score_request("d1")))
        assert row.is_ready(client)["violations"] == ["no model is loaded"]
        row.moves(client)
        store.publish(1)
        client.post("/v1/poll")
        assert client.post(URL, json=score_request("d1")).status_code == 200
        assert client.get("/v1/models/another").status_code == 404
    assert [record.decision_id for record in store.decisions()] == ["d1"]
    row.records(store)


def test_no_release_of_a_model_could_be_loaded(row: Row, store: SmallStore) -> None:
    store.publish(1)
    spoil("model.txt", "champion")(Second(store))
    with served(store) as client:
        row.begins(client)
        row.answers(client.post(URL, json=score_request("d1")))
        row.answers(client.get(f"/v1/models/{MODEL}"))
        [model] = client.get("/v1/models").json()["models"]
        assert row.is_ready(client)["violations"] == ["no model is loaded"]
        row.moves(client)
        assert f'serving_model_loaded{{model="{MODEL}"}} 0.0' in client.get("/metrics").text
    row.records(store, "d1")
    assert (model["state"], model["release_number"]) == ("failed", None)
    assert model["error"].endswith("; nothing serves")


def test_a_release_is_partial(row: Row, store: SmallStore) -> None:
    refused(row, store, lambda second: second.bundle("shadow", "golden.jsonl").unlink(), "missing ['golden.jsonl']")


def test_a_releases_signature_does_not_hold(row: Row, store: SmallStore) -> None:
    def tamper(second: Second) -> None:
        path = release_path(second.store, 4)
        path.write_bytes(path.read_bytes().replace(b"shadow 4", b"shadow 5"))

    refused(row, store, tamper, "they were changed after they were signed")


def test_a_bundles_signature_does_not_hold(row: Row, store: SmallStore) -> None:
    refused(row, store, spoil("manifest.sig"), "canary of release 4; repair the release store")


def test_a_bundles_digest_does_not_hold(row: Row, store: SmallStore) -> None:
    refused(row, store, spoil("model.txt"), "or end the canary with `lifecycle end-canary card_fraud`")


def test_a_golden_row_comes_out_differently(row: Row, store: SmallStore) -> None:
    refused(row, store, golden_mismatch, "golden row 3")


def test_a_model_text_is_damaged(row: Row, store: SmallStore) -> None:
    refused(row, store, damaged_trees, "bytes, got ")


def test_a_reason_group_has_no_text(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    files = candidate_files(2, can_explain=True)
    deciding = decode(files["deciding.json"], Deciding, "deciding.json")
    texts = ReasonTexts(version="2", texts={"amount": "The amount is unusual"})
    files["deciding.json"] = encode(msgspec.structs.replace(deciding, reason_texts=texts))
    root, keys = store.settings.release_store, store.keys
    bundle = write_bundle(root, files, lineage=lineage(2), verdicts=VERDICTS, keys=keys)
    sealed = read_bundle(root / "bundles" / bundle, store.keys.public_keys)
    store.publish(1)
    with served(store) as client:
        row.begins(client)
        # A promotion refuses it as well; this is a store that somebody else wrote.
        monkeypatch.setattr("lifecycle.releases.store.verified_bundle", lambda *_: sealed)
        store.releases.publish(MODEL, bundle, by="test", reason="test")
        client.post("/v1/poll")
        assert row.answers(client.post(URL, json=score_request("d1"))).json()["release_number"] == 1
        error = row.is_ready(client)["models"][MODEL]["error"]
        row.moves(client)
    row.records(store, "d1")
    assert "Expected a text for every reason group, got none for ['time', 'kind']" in error


def test_a_release_has_a_newer_schema(row: Row, store: SmallStore) -> None:
    refused(row, store, lambda second: resign(second.store, 4, schema_version=2), "upgrade this installation")


def test_a_bundle_has_a_newer_schema(row: Row, store: SmallStore) -> None:
    refused(row, store, newer_deciding, "upgrade this installation")


def test_the_store_goes_back(row: Row, store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    with served(store) as client:
        row.begins(client)
        release_path(store, 2).unlink()
        client.post("/v1/poll")
        assert row.answers(client.post(URL, json=score_request("d1"))).json()["release_number"] == 2
        assert "the store went back" in row.is_ready(client)["models"][MODEL]["error"]
        row.moves(client)
    row.records(store, "d1")


def test_the_cache_cannot_be_written(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _files: Mapping[str, bytes], *, is_replacing: bool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.publish(1)
    with served(store) as client:
        row.begins(client)
        store.publish(2)
        monkeypatch.setattr("serving.slots.cache.write_folder", full)
        client.post("/v1/poll")
        assert row.answers(client.post(URL, json=score_request("d1"))).json()["release_number"] == 1
        assert "got No space left on device" in row.is_ready(client)["models"][MODEL]["error"]
        row.moves(client)
    row.records(store, "d1")


def test_callers_do_not_send_what_the_canary_needs(row: Row, store: SmallStore) -> None:
    store.publish(1)
    bundle = renamed(store, 2, "mean_amount_7d", "mean_amount_9d")
    store.releases.put_canary(MODEL, bundle, percent=100, by="test", reason="other features")
    with served(store) as client:
        row.begins(client)
        answer = row.answers(client.post(URL, json=score_request("d1")))
        assert answer.json()["error"]["message"] == "Expected 4 features, missing ['mean_amount_9d']"
        both = {**EXAMPLE, "mean_amount_9d": None}
        assert client.post(URL, json=score_request("d2", features=both)).json()["slot"] == "canary"
        row.is_ready(client)
        row.moves(client)
    row.records(store, "d1")
