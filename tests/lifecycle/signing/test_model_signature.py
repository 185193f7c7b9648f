"""`model.sig` of a bundle, verified by OpenSSF's own client with the public key only."""

import json
import shutil
from pathlib import Path

import pytest
from model_signing import verifying
from typer.testing import CliRunner

from lifecycle.artefacts.bundles import verified_bundle
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.signing.keys import ensure_keys
from tests.harness.commands import said
from tests.harness.model_signing_client import verified
from tests.harness.small_models import MODEL, SmallStore

FILES = ("card.html", "deciding.json", "golden.jsonl", "manifest.json", "manifest.sig", "model.txt")


@pytest.fixture
def bundle(store: SmallStore) -> Path:
    return store.settings.release_store / "bundles" / store.seal(1)


@pytest.fixture
def public_key(store: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    path = tmp_path / "model_public_key.pem"
    path.write_text(CliRunner().invoke(app, ["model-key"]).stdout)
    return path


def expect(bundle: Path, public_key: Path) -> None:
    """Verify with the client's library; raises as it does."""
    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    config.verify(bundle, bundle / "model.sig")


def test_the_client_verifies_a_released_bundle_and_refuses_a_changed_one(bundle: Path, public_key: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == {*FILES, "model.sig"}
    answer = verified(bundle, public_key)
    assert (answer.returncode, answer.stdout) == (0, "Verification succeeded\n"), answer.stderr
    (bundle / ".gitignore").touch()
    answer = verified(bundle, public_key)
    assert answer.returncode == 1
    assert "Extra files found" in answer.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_any_byte_is_refused(bundle: Path, public_key: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    for place in sorted({0, len(content) // 3, len(content) // 2, len(content) - 1}):
        (bundle / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=f"Hash mismatch for .*{name}"):
            expect(bundle, public_key)
    (bundle / name).write_bytes(content)
    expect(bundle, public_key)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_removed_is_refused(bundle: Path, public_key: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ValueError, match=f"Missing files in model .*: {name}"):
        expect(bundle, public_key)


def test_a_file_that_was_added_is_refused(bundle: Path, public_key: Path) -> None:
    (bundle / "model.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Extra files found in model .*: model\.pkl"):
        expect(bundle, public_key)


def test_another_key_and_another_signature_are_refused(
    store: SmallStore, bundle: Path, public_key: Path, tmp_path: Path
) -> None:
    other = SmallStore.under(tmp_path / "other")
    (tmp_path / "other.pem").write_bytes(other.keys.model_key.public_pem)
    with pytest.raises(ValueError, match="Key mismatch"):
        expect(bundle, tmp_path / "other.pem")
    second = store.settings.release_store / "bundles" / store.seal(2)
    shutil.copy(second / "model.sig", bundle / "model.sig")
    with pytest.raises(ValueError, match="Hash mismatch"):
        expect(bundle, public_key)


def test_a_rotated_key_still_verifies_the_bundles_that_it_signed(
    store: SmallStore, bundle: Path, public_key: Path, tmp_path: Path
) -> None:
    keys = store.settings.keys_dir
    old = {name: (keys / name).read_bytes() for name in ("model_signing_key.pem", "model_public_key.pem")}
    for name in old:
        (keys / name).unlink()
    newer = store.settings.release_store / "bundles" / store.seal(2)
    with pytest.raises(LifecycleError, match="append the rotated key from the backup"):
        said(app, "model-key", bundle.name[:12])
    with (keys / "model_public_key.pem").open("ab") as file:
        file.write(old["model_public_key.pem"])
    assert said(app, "model-key", bundle.name[:12]) == public_key.read_text()
    expect(bundle, public_key)
    today = tmp_path / "today.pem"
    today.write_text(said(app, "model-key"))
    document = json.loads(said(app, "model-key", newer.name, "--json"))
    assert document == {"public_key": today.read_text(), "hint": store.keys.model_key.hint}
    expect(newer, today)
    with pytest.raises(ValueError, match="Key mismatch"):
        expect(bundle, today)


def test_a_bundle_of_an_earlier_version_is_released_as_before(
    store: SmallStore, bundle: Path, public_key: Path
) -> None:
    (bundle / "model.sig").unlink()
    for name in ("model_signing_key.pem", "model_public_key.pem"):
        (store.settings.keys_dir / name).unlink()
    release = store.releases.publish(MODEL, bundle.name, by="ana", reason="first")
    assert release.champion.bundle_digest == bundle.name
    assert verified_bundle(store.settings.release_store, bundle.name, ensure_keys(store.settings).public_keys)
    assert store.seal(1) == bundle.name
    assert not (bundle / "model.sig").exists(), "a sealed folder is never changed"
    with pytest.raises(LifecycleError, match="an earlier version sealed this bundle"):
        said(app, "model-key", bundle.name)
    assert public_key.exists()
