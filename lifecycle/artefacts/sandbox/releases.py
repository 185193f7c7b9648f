"""What a sandbox's release store holds: a small model that warms the server up, then the candidate."""

import datetime as dt
import functools
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from lifecycle.artefacts.bundles import bundle_folder, write_bundle
from lifecycle.artefacts.candidates import Candidate, golden_file
from lifecycle.modelling.fitting import FitRows, fit
from lifecycle.modelling.golden import golden_rows
from lifecycle.signing.envelope import signed_envelope
from lifecycle.signing.keys import Keys
from lifecycle.spec.risk_model import FeatureSpec
from serving.artefacts.releases import file_name
from serving.contract.documents import (
    CARD_FILE,
    DECIDING_FILE,
    GOLDEN_FILE,
    SCHEMA_VERSION,
    Bands,
    Calibration,
    Deciding,
    Feature,
    Lineage,
    ReasonTexts,
    Release,
    SlotRelease,
    Verdict,
    encode,
)
from serving.storage.durable import write_file

WARM_UP = "sandbox_warm_up"
"""Name of the model that warms the server up."""
_NO_VERDICT = Verdict(gate="sandbox", is_passed=True, summary="not judged yet: a bundle of a sandbox, for no release")


def release_candidate(store: Path, keys: Keys, candidate: Candidate, card: bytes) -> int:
    """Seal the candidate's bundle as a release does, and release it; returns the size of its files in bytes.

    Trees, deciding file and golden rows are the candidate's. The manifest has a stand-in for the verdicts, which do not
    exist yet, so that the bundle's name is not that of the later release.
    """
    files = {name: candidate.read(name) for name in (candidate.model_file, DECIDING_FILE, GOLDEN_FILE)}
    deciding, lineage = candidate.deciding, candidate.lineage
    return _release(store, keys, deciding.model, files | {CARD_FILE: card}, lineage)


def release_warm_up(store: Path, keys: Keys, *, is_explained: bool) -> None:
    """Release a model of one tree, with which a server loads its libraries and compiles its walks over trees.

    Otherwise the candidate, as the first model of the process, would have to answer for the memory and the time that
    these take, whatever model comes first. Compiling what reasons need takes a second, hence only for a model that
    `is_explained`.
    """
    lineage = Lineage(
        as_of="2000-01-01",
        training_set_digest="0" * 64,
        code_commit=None,
        parameters={},
        seed=0,
        library_versions={},
    )
    _release(store, keys, WARM_UP, _warm_up_files(is_explained), lineage)


@functools.cache
def _warm_up_files(is_explained: bool) -> Mapping[str, bytes]:
    feature = Feature(name="amount", dtype="float", reason_group="amount")
    rows = np.arange(100, dtype=np.float64).reshape(-1, 1)
    fields = [FeatureSpec(name="amount", dtype="float", reason_group="amount")]
    text = fit(FitRows(rows, rows[:, 0] >= 50), fields, {"min_data_in_leaf": 10}, 1, seed=0, num_threads=1)
    calibration = Calibration(slope=1.0, intercept=0.0)
    deciding = Deciding(
        schema_version=SCHEMA_VERSION,
        model=WARM_UP,
        features=(feature,),
        calibration=calibration,
        bands=Bands(review_from=None),
        reason_texts=ReasonTexts(version="1", texts={"amount": "Amount"}) if is_explained else None,
    )
    golden = golden_rows(rows, (feature,), text, calibration, 0)
    if not is_explained:
        golden = tuple(msgspec.structs.replace(row, contributions=None) for row in golden)
    return {
        "model.txt": text,
        DECIDING_FILE: encode(deciding),
        GOLDEN_FILE: golden_file(golden),
        CARD_FILE: b"<html></html>",
    }


def _release(store: Path, keys: Keys, model: str, files: Mapping[str, bytes], lineage: Lineage) -> int:
    bundle_digest = write_bundle(store, files, lineage=lineage, verdicts=(_NO_VERDICT,), signing_key=keys.signing_key)
    release = Release(
        schema_version=SCHEMA_VERSION,
        model=model,
        number=1,
        predecessor=None,
        champion=SlotRelease(bundle_digest=bundle_digest, as_of=lineage.as_of),
        released_at=dt.datetime.now(dt.UTC),
        released_by="sandbox",
        reason="sandbox",
    )
    write_file(store / "releases" / model / file_name(1), signed_envelope(release, keys))
    return sum(file.stat().st_size for file in bundle_folder(store, bundle_digest).iterdir())
