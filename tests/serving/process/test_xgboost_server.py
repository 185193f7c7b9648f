"""The real server with XGBoost's models, in an environment without XGBoost."""

import shutil
from pathlib import Path

import msgspec
import pytest

from serving.artefacts.bundle import bundle_files, read_bundle, read_files, verify_bundle
from serving.contract.documents import ContractError, Manifest, encode
from serving.contract.documents import digest as sha256
from serving.scoring.model import load_model
from tests.harness.model_texts import DAMAGES as LIGHTGBM_DAMAGES
from tests.harness.server_process import URL, eventually, served
from tests.harness.small_models import MODEL, SmallStore, as_features, examples, score_request
from tests.harness.small_models import golden_rows as lightgbm_rows
from tests.harness.xgboost_models import DAMAGES, as_json, booster, own_contributions, own_margins, seal


@pytest.fixture
def without_xgboost(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing can import XGBoost."""
    folder = tmp_path / "blocked"
    folder.mkdir()
    (folder / "xgboost.py").write_text('raise ImportError("the server must not need XGBoost")\n')
    return {"PYTHONPATH": str(folder)}


@pytest.mark.long
def test_the_server_answers_as_xgboost_with_reasons_and_after_a_restart(
    store: SmallStore, without_xgboost: dict[str, str]
) -> None:
    rows = examples()[0][:40]
    expected = own_margins(booster(2), rows).tolist()
    contributions = own_contributions(booster(2), rows)
    store.releases.publish(MODEL, seal(store, 2), by="test", reason="XGBoost")
    answers = []
    with served(store, **without_xgboost) as server:
        for number, row in enumerate(rows):
            request = score_request(f"d{number}", features=as_features(row))
            answers.append(server.client.post(URL, json=request).json())
        assert [answer["margin"] for answer in answers] == expected
    adverse = [number for number, answer in enumerate(answers) if answer["reasons"]]
    assert len(adverse) >= 3
    for number in adverse:
        by_group = {"amount": contributions[number, [0, 3]].sum(), "time": contributions[number, 1]}
        by_group["kind"] = contributions[number, 2]
        for reason in answers[number]["reasons"]:
            assert reason["contribution"] == pytest.approx(by_group[reason["code"]], abs=1e-5)
    shutil.move(store.settings.release_store, store.settings.root / "gone")
    with served(store, **without_xgboost) as server:
        again = server.client.post(URL, json=score_request("again", features=as_features(rows[adverse[0]]))).json()
        assert (again["margin"], again["reasons"]) == (answers[adverse[0]]["margin"], answers[adverse[0]]["reasons"])


@pytest.mark.long
def test_damaged_json_is_refused_and_the_served_model_goes_on(store: SmallStore) -> None:
    row = examples()[0][3]
    store.releases.publish(MODEL, seal(store, 2), by="test", reason="XGBoost")
    damaged = DAMAGES["a loop"](as_json(booster(3)))
    with served(store) as server:
        other = seal(store, 3, damaged)
        path = store.settings.release_store / "releases" / MODEL
        publish_unchecked(store, other)
        assert (path / "000002.json").is_file()
        eventually(lambda: "Expected every node once" in server.client.get("/readyz").text)
        answer = server.client.post(URL, json=score_request(features=as_features(row))).json()
        assert (answer["release_number"], answer["margin"]) == (1, own_margins(booster(2), row[None]).tolist()[0])


@pytest.mark.long
def test_releases_change_between_lightgbm_and_xgboost(store: SmallStore) -> None:
    row = examples()[0][0]
    store.publish(1)
    with served(store) as server:
        for number, margin in ((1, lightgbm_rows(1)[0].margin), (2, own_margins(booster(2), row[None]).tolist()[0])):
            if number == 2:
                store.releases.publish(MODEL, seal(store, 2), by="test", reason="XGBoost")
            eventually(lambda number=number: server.client.get("/readyz").text.count(f'"release_number":{number}') > 0)  # type: ignore[misc]
            answer = server.client.post(URL, json=score_request(f"d{number}", features=as_features(row))).json()
            assert (answer["release_number"], answer["margin"]) == (number, margin)
        store.releases.rollback(MODEL, by="test", reason="back to LightGBM")
        eventually(lambda: '"release_number":3' in server.client.get("/readyz").text)


def publish_unchecked(store: SmallStore, bundle: str) -> None:
    """A signed release of a bundle that the lifecycle would not release."""
    from serving.contract.documents import Release, SignedRelease

    path = store.settings.release_store / "releases" / MODEL / "000001.json"
    first = path.read_bytes()
    release = msgspec.json.decode(msgspec.json.decode(first, type=SignedRelease).payload, type=Release)
    champion = msgspec.structs.replace(release.champion, bundle_digest=bundle)
    payload = encode(msgspec.structs.replace(release, number=2, predecessor=sha256(first), champion=champion))
    signed = store.keys.signing_key.sign(payload)
    path.with_name("000002.json").write_bytes(
        msgspec.json.encode(SignedRelease(payload=payload.decode(), key_id=signed.key_id, signature=signed.signature))
    )


@pytest.fixture
def folder(store: SmallStore) -> Path:
    return store.settings.release_store / "bundles" / seal(store, 2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_sealed_bundle_with_damaged_trees_does_not_load(store: SmallStore, damage: str) -> None:
    name = seal(store, 2, DAMAGES[damage](as_json(booster(2))) or b" ")
    bundle = read_bundle(store.settings.release_store / "bundles" / name, store.keys.public_keys)
    with pytest.raises(ContractError, match=r"at model\.json"):
        load_model(bundle)


def test_the_manifest_names_the_format_and_lightgbms_stays_readable_by_older_servers(
    store: SmallStore, folder: Path
) -> None:
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    assert (manifest["schema_version"], manifest["model_format"]) == (2, "xgboost")
    assert sorted(manifest["files"]) == ["card.html", "deciding.json", "golden.jsonl", "model.json"]
    other = store.settings.release_store / "bundles" / store.seal(1)
    manifest = msgspec.json.decode((other / "manifest.json").read_bytes())
    assert (manifest["schema_version"], "model_format" in manifest) == (1, False)


@pytest.mark.parametrize("file", bundle_files("xgboost"))
def test_a_missing_or_changed_file_is_named(store: SmallStore, folder: Path, file: str) -> None:
    content = (folder / file).read_bytes()
    if file != "manifest.json":
        (folder / file).unlink()
        with pytest.raises(ContractError, match=rf"missing \['{file}'\]"):
            read_bundle(folder, store.keys.public_keys)
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 0x80
    (folder / file).write_bytes(changed)
    with pytest.raises(ContractError):
        read_bundle(folder, store.keys.public_keys)


def test_a_newer_manifest_is_refused_by_name(store: SmallStore, folder: Path) -> None:
    files = read_files(folder)
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    files["manifest.json"] = encode(msgspec.structs.replace(manifest, schema_version=4))
    files["manifest.sig"] = encode(store.keys.signing_key.sign(files["manifest.json"]))
    with pytest.raises(ContractError, match="Expected schema_version 1 or 2 or 3, got 4; upgrade this installation"):
        verify_bundle(sha256(files["manifest.json"]), files, store.keys.public_keys)


def test_a_text_of_lightgbm_as_json_is_refused(store: SmallStore) -> None:
    text = LIGHTGBM_DAMAGES["a NUL"](booster(2).save_raw("json").decode()).encode()
    name = seal(store, 2, b"tree\n" + text)
    with pytest.raises(ContractError, match="Expected XGBoost's whole JSON"):
        load_model(read_bundle(store.settings.release_store / "bundles" / name, store.keys.public_keys))
