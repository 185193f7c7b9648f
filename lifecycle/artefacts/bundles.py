"""Bundles: candidates that passed their gates, each sealed in a folder named by the digest of its manifest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.gates.outcomes import overall_text, unwaived
from lifecycle.signing.keys import Keys
from lifecycle.signing.model_signature import MODEL_SIGNATURE_FILE, model_signature
from serving.artefacts.bundle import Bundle, read_bundle, read_golden, sealed_files
from serving.artefacts.signatures import PublicKeys
from serving.contract.derivation import fields_of_request
from serving.contract.documents import (
    DECIDING_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_JSON_FILE,
    SIGNATURE_FILE,
    ContractError,
    Deciding,
    Lineage,
    Manifest,
    ModelFormat,
    SealedWaiver,
    Verdict,
    candidate_digest,
    decode,
    digest,
    encode,
    manifest_version,
)
from serving.storage.crash_points import crash_point
from serving.storage.durable import write_folder


def bundle_folder(store: Path, bundle_digest: str) -> Path:
    """Folder of a bundle in the release store."""
    return store / "bundles" / bundle_digest


def write_bundle(
    store: Path,
    files: Mapping[str, bytes],
    *,
    lineage: Lineage,
    verdicts: Sequence[Verdict],
    keys: Keys,
    descriptions: Mapping[str, str] | None = None,
    waivers: Sequence[SealedWaiver] = (),
    is_for_shadow: bool = False,
) -> str:
    """Seal `files` as the bundle ``bundles/<digest>`` of the release store and return its digest.

    Deterministic and idempotent: the same content gives the same digest and is written once.

    Parameters
    ----------
    files
        Exactly ``model.txt`` (LightGBM) or ``model.json`` (XGBoost), ``deciding.json``, ``golden.jsonl`` and
        ``card.html``.
    keys
        The installation's: its signing key signs the manifest, its model key the whole folder (``model.sig``).
    lineage, verdicts
        Origin of the model and verdicts of its gates, for the manifest.
    descriptions
        Meanings of features by name, for the manifest.
    waivers
        Waivers in force, for the manifest.
    is_for_shadow
        Whether a verdict may be INCONCLUSIVE: a bundle that no command promotes (`permission.expect_promotable`).

    Raises
    ------
    LifecycleError
        If a file is missing or superfluous, the deciding file or a golden row cannot be read, there are no verdicts,
        or one of them neither passed nor is waived.
    """
    blocking = unwaived(verdicts, {waiver.gate for waiver in waivers})
    if is_for_shadow:
        blocking = tuple(verdict for verdict in blocking if verdict.outcome == "FAIL")
    if blocking or not verdicts:
        raise LifecycleError(f"Expected passing verdicts, got {overall_text(blocking)} - at the bundle")
    manifest_bytes = encode(_manifest(files, lineage, verdicts, descriptions or {}, waivers))
    bundle_digest = digest(manifest_bytes)
    signed = keys.signing_key.sign(manifest_bytes)
    content = dict(files) | {MANIFEST_FILE: manifest_bytes, SIGNATURE_FILE: encode(signed)}
    content[MODEL_SIGNATURE_FILE] = model_signature(bundle_digest, content, keys.model_key)
    crash_point("bundle.signed")
    write_folder(bundle_folder(store, bundle_digest), content)
    crash_point("bundle.sealed")
    return bundle_digest


def verified_bundle(store: Path, bundle_digest: str, keys: PublicKeys) -> Bundle:
    """A bundle of the release store, after its signature, digests and golden rows have been verified.

    Raises
    ------
    LifecycleError
        If there is no such bundle, or it does not verify; the message names the difference.
    """
    from serving.scoring.model import load_model

    folder = bundle_folder(store, bundle_digest)
    if not folder.is_dir():
        raise LifecycleError(f"Expected a bundle with digest {bundle_digest}, found no folder - in {store / 'bundles'}")
    try:
        bundle = read_bundle(folder, keys)
        load_model(bundle)
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    return bundle


def bundle_manifest(store: Path, bundle_digest: str, keys: PublicKeys) -> Manifest:
    """The manifest of a bundle whose signature and digests verify; its model is not loaded.

    Raises
    ------
    LifecycleError
        If there is no such bundle, or it does not verify.
    """
    try:
        return read_bundle(bundle_folder(store, bundle_digest), keys).manifest
    except ContractError as error:
        raise LifecycleError(str(error)) from error


def bundle_fields(store: Path, bundle_digest: str, keys: PublicKeys) -> tuple[str, ...]:
    """Names of the fields that a request to a bundle's model carries; raises as `bundle_manifest`."""
    try:
        bundle = read_bundle(bundle_folder(store, bundle_digest), keys)
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    return tuple(field.name for field in fields_of_request(bundle.deciding))


def _manifest(
    files: Mapping[str, bytes],
    lineage: Lineage,
    verdicts: Sequence[Verdict],
    descriptions: Mapping[str, str],
    waivers: Sequence[SealedWaiver],
) -> Manifest:
    model_format: ModelFormat = "xgboost" if MODEL_JSON_FILE in files else "lightgbm"
    names = sealed_files(model_format)
    if sorted(files) != sorted(names):
        raise LifecycleError(f"Expected the files {list(names)}, got {sorted(files)} - at the bundle")
    try:
        deciding = decode(files[DECIDING_FILE], Deciding, DECIDING_FILE)
        read_golden(files[GOLDEN_FILE], "the bundle")
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    return Manifest(
        schema_version=manifest_version(model_format, waivers),
        model=deciding.model,
        candidate_digest=candidate_digest(dict(files)),
        lineage=lineage,
        verdicts=tuple(verdicts),
        files={name: digest(files[name]) for name in sorted(names)},
        descriptions=dict(descriptions),
        model_format=model_format,
        waivers=tuple(waivers),
    )
