"""Bundles: read and verify signature, digests and name."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serving.artefacts.signatures import PublicKeys
from serving.contract.derivation import facts_of
from serving.contract.documents import (
    CARD_FILE,
    DECIDING_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILES,
    SIGNATURE_FILE,
    ContractError,
    Deciding,
    GoldenRow,
    Manifest,
    ModelFormat,
    Signed,
    candidate_digest,
    decode,
    digest,
)
from serving.contract.schema_rules import schema_violations


def sealed_files(model_format: ModelFormat) -> tuple[str, ...]:
    """The files whose digests a manifest holds."""
    return (CARD_FILE, DECIDING_FILE, GOLDEN_FILE, MODEL_FILES[model_format])


def bundle_files(model_format: ModelFormat) -> tuple[str, ...]:
    """All files of a bundle."""
    return (*sealed_files(model_format), MANIFEST_FILE, SIGNATURE_FILE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; `serving.scoring.model` checks its golden rows when it loads the model."""

    digest: str
    manifest: Manifest
    deciding: Deciding
    golden: tuple[GoldenRow, ...]
    files: Mapping[str, bytes]

    @property
    def model_text(self) -> bytes:
        """The trees in their library's own text format or JSON; see `Manifest.model_format`."""
        return self.files[MODEL_FILES[self.manifest.model_format]]


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a bundle's folder, not verified.

    Raises
    ------
    ContractError
        If the folder or one of its files is missing or unreadable.
    """
    names = bundle_files(_model_format(folder))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ContractError(f"Expected the files {list(names)}, missing {missing} - at bundle {folder.name}")
    try:
        return {name: (folder / name).read_bytes() for name in names}
    except OSError as error:
        raise ContractError(f"Expected readable files, got {type(error).__name__} - at bundle {folder.name}") from error


class _FormatOnly(msgspec.Struct):
    """A manifest of any version, of which only the format of the model file matters."""

    model_format: str = "lightgbm"


def _model_format(folder: Path) -> ModelFormat:
    """The format that the manifest in a folder names, not verified; LightGBM's if it cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        if msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=_FormatOnly).model_format == "xgboost":
            return "xgboost"
    return "lightgbm"


def read_bundle(folder: Path, keys: PublicKeys) -> Bundle:
    """Read and verify the bundle in `folder`, which is named by its digest.

    Raises
    ------
    ContractError
        As `verify_bundle`, and if a file is missing.
    """
    return verify_bundle(folder.name, read_files(folder), keys)


def verify_bundle(name: str, files: Mapping[str, bytes], keys: PublicKeys) -> Bundle:
    """Check a bundle's files against its name, its signature and its manifest.

    Raises
    ------
    ContractError
        If the manifest's digest is not `name`; the signature is not one of the manifest by a trusted key; a file's
        digest differs from the manifest's; the deciding files are those of another candidate; the deciding file is for
        another model, or has a feature that requests cannot carry; a golden row is missing or cannot be read.
    """
    where = f"bundle {name}"
    manifest_bytes = files[MANIFEST_FILE]
    manifest_digest = digest(manifest_bytes)
    if manifest_digest != name:
        raise ContractError(f"Expected a manifest with digest {name}, got {manifest_digest} - at {where}")
    keys.verify(manifest_bytes, decode(files[SIGNATURE_FILE], Signed, f"{where}/{SIGNATURE_FILE}"), where)
    manifest = decode(manifest_bytes, Manifest, f"{where}/{MANIFEST_FILE}")
    _check_digests(manifest, files, where)
    deciding = decode(files[DECIDING_FILE], Deciding, f"{where}/{DECIDING_FILE}")
    if deciding.model != manifest.model:
        raise ContractError(f"Expected model {manifest.model}, got {deciding.model} - at {where}/{DECIDING_FILE}")
    for message, key in schema_violations(deciding.features, facts=facts_of(deciding)):
        raise ContractError(f"{message} - at `{key}` in {where}/{DECIDING_FILE}")
    return Bundle(name, manifest, deciding, read_golden(files[GOLDEN_FILE], where), dict(files))


def read_golden(content: bytes, where: str) -> tuple[GoldenRow, ...]:
    """Decode golden rows, one JSON object per line.

    Raises
    ------
    ContractError
        If a line cannot be read (the message has its number), or there is no line.
    """
    decoder = msgspec.json.Decoder(GoldenRow)
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            rows.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ContractError(
                f"Expected a golden row, got {type(error).__name__} - at {where}/{GOLDEN_FILE}, line {number}"
            ) from None
    if not rows:
        raise ContractError(f"Expected at least one golden row, got an empty file - at {where}/{GOLDEN_FILE}")
    return tuple(rows)


def _check_digests(manifest: Manifest, files: Mapping[str, bytes], where: str) -> None:
    names = sealed_files(manifest.model_format)
    if sorted(manifest.files) != sorted(names):
        raise ContractError(
            f"Expected digests of {list(names)}, got of {sorted(manifest.files)} - at {where}/{MANIFEST_FILE}"
        )
    missing = [name for name in names if name not in files]
    if missing:
        raise ContractError(f"Expected the files {list(names)}, missing {missing} - at {where}")
    for file, expected in manifest.files.items():
        actual = digest(files[file])
        if actual != expected:
            raise ContractError(f"Expected digest {expected}, got {actual} - at {where}/{file}")
    candidate = candidate_digest({name: files[name] for name in names})
    if candidate != manifest.candidate_digest:
        raise ContractError(f"Expected candidate {manifest.candidate_digest}, got {candidate} - at {where}")
