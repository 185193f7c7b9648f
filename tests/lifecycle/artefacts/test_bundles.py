import datetime as dt
from pathlib import Path

import msgspec
import pytest

from lifecycle.artefacts.bundles import bundle_folder, verified_bundle, write_bundle
from lifecycle.errors import LifecycleError
from serving.contract.documents import Manifest, SealedWaiver, Verdict, digest
from tests.harness.small_models import MODEL, VERDICTS, SmallStore, candidate_files, lineage


def test_the_same_content_gives_the_same_bundle_written_once(store: SmallStore) -> None:
    name = store.seal(1)
    folder = bundle_folder(store.settings.release_store, name)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert store.seal(1) == name
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert store.seal(2) != name


def test_a_bundle_is_named_by_its_manifest_and_holds_no_clock(store: SmallStore, tmp_path: Path) -> None:
    name = store.seal(1)
    folder = bundle_folder(store.settings.release_store, name)
    assert digest((folder / "manifest.json").read_bytes()) == name
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    assert manifest.model == MODEL
    assert manifest.files == {file: digest(content) for file, content in candidate_files(1).items()}
    assert SmallStore.under(tmp_path / "other").seal(1) == name


def test_the_order_in_which_parameters_were_given_does_not_matter(store: SmallStore) -> None:
    turned = msgspec.structs.replace(lineage(1), parameters=dict(reversed(lineage(1).parameters.items())))
    keys = store.keys
    other = write_bundle(store.settings.release_store, candidate_files(1), lineage=turned, verdicts=VERDICTS, keys=keys)
    assert other == store.seal(1)


def test_a_waiver_seals_a_verdict_that_did_not_pass_and_only_that_of_its_gate(store: SmallStore) -> None:
    root, keys = store.settings.release_store, store.keys
    refused = (Verdict(gate="enough_frauds", is_passed=False, summary="3 of 100"),)
    waiver = SealedWaiver(
        gate="enough_frauds", number=1, name="anna", reason="pilot", expires_at=dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    )
    sealed = write_bundle(root, candidate_files(1), lineage=lineage(1), verdicts=refused, keys=keys, waivers=(waiver,))
    manifest = verified_bundle(root, sealed, store.keys.public_keys).manifest
    assert (manifest.schema_version, manifest.waivers, manifest.verdicts) == (3, (waiver,), refused)
    other = (msgspec.structs.replace(waiver, gate="above_floor"),)
    with pytest.raises(LifecycleError, match="got refused by enough_frauds"):
        write_bundle(root, candidate_files(1), lineage=lineage(1), verdicts=refused, keys=keys, waivers=other)
    without = bundle_folder(root, store.seal(1)) / "manifest.json"
    assert b"waivers" not in without.read_bytes()
    assert b'"schema_version": 1' in without.read_bytes()


def test_files_are_the_owners_alone(store: SmallStore) -> None:
    folder = bundle_folder(store.settings.release_store, store.seal(1))
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("verdicts", "violation"),
    [
        ((), "got no verdicts"),
        ((Verdict(gate="enough_frauds", is_passed=False, summary="3 of 100"),), "got refused by enough_frauds"),
        ((Verdict.of("enough_frauds", "INCONCLUSIVE", "3 of 100", {}, {}),), "got inconclusive: enough_frauds"),
    ],
)
def test_nothing_is_sealed_without_passing_verdicts(
    store: SmallStore, verdicts: tuple[Verdict, ...], violation: str
) -> None:
    root, keys = store.settings.release_store, store.keys
    with pytest.raises(LifecycleError, match=violation):
        write_bundle(root, candidate_files(1), lineage=lineage(1), verdicts=verdicts, keys=keys)
    assert not root.exists()


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"card.html": None}, "Expected the files"),
        ({"further.txt": b""}, "Expected the files"),
        ({"deciding.json": b"{}"}, "missing required field"),
        ({"golden.jsonl": b""}, "at least one golden row"),
    ],
)
def test_a_candidate_that_is_not_whole_is_refused(
    store: SmallStore, change: dict[str, bytes | None], violation: str
) -> None:
    files = {name: content for name, content in (candidate_files(1) | change).items() if content is not None}
    root, keys = store.settings.release_store, store.keys
    with pytest.raises(LifecycleError, match=violation):
        write_bundle(root, files, lineage=lineage(1), verdicts=VERDICTS, keys=keys)


def test_a_bundle_verifies_only_as_it_was_sealed(store: SmallStore) -> None:
    root, keys = store.settings.release_store, store.keys.public_keys
    name = store.seal(1)
    assert verified_bundle(root, name, keys).digest == name
    (bundle_folder(root, name) / "card.html").write_text("tampered")
    with pytest.raises(LifecycleError, match=f"{name}/card.html"):
        verified_bundle(root, name, keys)
    with pytest.raises(LifecycleError, match="found no folder"):
        verified_bundle(root, "0" * 64, keys)
