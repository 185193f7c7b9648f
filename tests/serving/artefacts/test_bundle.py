import math
from pathlib import Path

import msgspec
import pytest

from serving.artefacts.bundle import bundle_files, read_bundle, read_files, verify_bundle
from serving.artefacts.signatures import PublicKeys, read_public_keys
from serving.contract.documents import ContractError, Deciding, Manifest, decode, digest, encode
from serving.scoring.model import decision_of, load_model
from tests.harness.small_models import BANDS, EXAMPLE, MODEL, SCHEMA, SmallStore, golden_rows


@pytest.fixture
def folder(store: SmallStore) -> Path:
    return store.settings.release_store / "bundles" / store.seal(1)


def other_keys(store: SmallStore, tmp_path: Path) -> PublicKeys:
    return SmallStore.under(tmp_path / "other").keys.public_keys


def test_a_sealed_bundle_verifies_and_loads(store: SmallStore, folder: Path) -> None:
    bundle = read_bundle(folder, store.keys.public_keys)
    assert bundle.manifest.model == MODEL
    assert bundle.deciding.features == SCHEMA
    scored = load_model(bundle).score(tuple(golden_rows(1)[0].features.values()))
    assert scored.margin == golden_rows(1)[0].margin
    assert scored.decision == decision_of(scored.score, BANDS)


@pytest.mark.parametrize(
    ("file", "violation"),
    [
        ("model.txt", "Expected digest [0-9a-f]{64}, got [0-9a-f]{64} - at bundle [0-9a-f]{64}/model.txt"),
        ("deciding.json", "at bundle [0-9a-f]{64}/deciding.json"),
        ("golden.jsonl", "at bundle [0-9a-f]{64}/golden.jsonl"),
        ("card.html", "at bundle [0-9a-f]{64}/card.html"),
        ("manifest.json", "Expected a manifest with digest"),
        ("manifest.sig", "in bundle [0-9a-f]{64}/manifest.sig"),
    ],
)
def test_a_changed_byte_is_refused(store: SmallStore, folder: Path, file: str, violation: str) -> None:
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 0x80
    (folder / file).write_bytes(content)
    with pytest.raises(ContractError, match=violation):
        read_bundle(folder, store.keys.public_keys)


@pytest.mark.parametrize("file", bundle_files("lightgbm"))
def test_a_missing_file_is_named(store: SmallStore, folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ContractError, match=rf"missing \['{file}'\]"):
        read_bundle(folder, store.keys.public_keys)


def test_a_bundle_by_another_key_is_refused(store: SmallStore, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"got key {store.keys.key_id}"):
        read_bundle(folder, other_keys(store, tmp_path))


def test_a_manifest_made_anew_without_the_key_is_refused(store: SmallStore, folder: Path) -> None:
    files = read_files(folder)
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    files["manifest.json"] = encode(msgspec.structs.replace(manifest, model="credit"))
    with pytest.raises(ContractError, match="they were changed after they were signed"):
        verify_bundle(digest(files["manifest.json"]), files, store.keys.public_keys)


def resealed(store: SmallStore, folder: Path, **changed: bytes) -> tuple[str, dict[str, bytes]]:
    """The bundle with other files, digests and signature made to fit by somebody who has the key."""
    files = read_files(folder) | {name.replace("_", "."): content for name, content in changed.items()}
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    digests = {name: digest(files[name]) for name in manifest.files}
    files["manifest.json"] = encode(msgspec.structs.replace(manifest, files=digests))
    files["manifest.sig"] = encode(store.keys.signing_key.sign(files["manifest.json"]))
    return digest(files["manifest.json"]), files


def test_a_signed_bundle_of_another_candidate_is_refused(store: SmallStore, folder: Path) -> None:
    deciding = msgspec.json.decode((folder / "deciding.json").read_bytes(), type=Deciding)
    other = encode(msgspec.structs.replace(deciding, bands=msgspec.structs.replace(deciding.bands, review_from=0.1)))
    name, files = resealed(store, folder, deciding_json=other)
    with pytest.raises(ContractError, match=r"Expected candidate [0-9a-f]{64}, got"):
        verify_bundle(name, files, store.keys.public_keys)


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"margin": -0.123456789}, "Expected margin -0.123456789, got .* golden row 2"),
        ({"score": 0.123456789}, "Expected score 0.123456789, got .* golden row 2"),
        ({"features": {**EXAMPLE, "kind": "moon"}}, "Expected one of the feature's categories .* golden row 2"),
    ],
)
def test_a_golden_row_that_comes_out_differently_is_refused(
    store: SmallStore, folder: Path, change: dict[str, object], violation: str
) -> None:
    rows = golden_rows(1)
    rows[1] = msgspec.structs.replace(rows[1], **change)
    name, files = resealed(store, folder, golden_jsonl=b"\n".join(map(msgspec.json.encode, rows)))
    with pytest.raises(ContractError, match=violation):
        load_model(verify_bundle(name, files, store.keys.public_keys))


def test_the_margin_of_a_golden_row_must_hold_in_its_last_bit(store: SmallStore, folder: Path) -> None:
    rows = golden_rows(1)
    rows[0] = msgspec.structs.replace(rows[0], margin=math.nextafter(rows[0].margin, math.inf))
    name, files = resealed(store, folder, golden_jsonl=b"\n".join(map(msgspec.json.encode, rows)))
    with pytest.raises(ContractError, match="golden row 1"):
        load_model(verify_bundle(name, files, store.keys.public_keys))


@pytest.mark.parametrize(
    ("content", "violation"), [(b"", "at least one golden row"), (b"{}\n", "golden.jsonl, line 1")]
)
def test_unreadable_golden_rows_are_refused(store: SmallStore, folder: Path, content: bytes, violation: str) -> None:
    name, files = resealed(store, folder, golden_jsonl=content)
    with pytest.raises(ContractError, match=violation):
        verify_bundle(name, files, store.keys.public_keys)


def test_a_newer_schema_version_is_refused_by_name(folder: Path) -> None:
    newer = (folder / "deciding.json").read_bytes().replace(b'"schema_version": 1', b'"schema_version": 9, "new": 1')
    with pytest.raises(ContractError, match="Expected schema_version 1 or 2, got 9; upgrade this installation"):
        decode(newer, Deciding, "deciding.json")


def test_public_keys_may_stand_one_after_the_other_while_they_rotate(store: SmallStore, tmp_path: Path) -> None:
    other = SmallStore.under(tmp_path / "other")
    both = tmp_path / "both.pem"
    both.write_bytes(store.keys.public_key_path.read_bytes() + other.keys.public_key_path.read_bytes())
    assert read_public_keys(both).ids == sorted([store.keys.key_id, other.keys.key_id])


@pytest.mark.parametrize(("content", "violation"), [(b"", "found none"), (b"\xff\xfe", "got other bytes")])
def test_a_file_without_public_keys_is_refused(tmp_path: Path, content: bytes, violation: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=violation):
        read_public_keys(path)
    with pytest.raises(ContractError, match="FileNotFoundError"):
        read_public_keys(tmp_path / "nowhere.pem")
