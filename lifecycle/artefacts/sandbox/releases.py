"""A sandbox's release store: the candidate's bundle as the first release of its model."""

import datetime as dt
from pathlib import Path

from lifecycle.artefacts.bundles import bundle_folder, write_bundle
from lifecycle.artefacts.candidates import Candidate, golden_file
from lifecycle.signing.envelope import signed_envelope
from lifecycle.signing.keys import Keys
from serving.artefacts.releases import file_name
from serving.contract.documents import (
    CARD_FILE,
    DECIDING_FILE,
    GOLDEN_FILE,
    SCHEMA_VERSION,
    GoldenRow,
    Release,
    SlotRelease,
    Verdict,
)
from serving.storage.durable import write_file

_NO_VERDICT = Verdict(gate="sandbox", is_passed=True, summary="not judged yet: a bundle of a sandbox, for no release")


def release_candidate(store: Path, keys: Keys, candidate: Candidate, golden: tuple[GoldenRow, ...], card: bytes) -> int:
    """Seal the candidate's bundle as a release does, and release it; returns the size of its files in bytes.

    Trees, deciding file and golden rows are the candidate's. The manifest has a stand-in for the verdicts, which do not
    exist yet, so that the bundle's name is not that of the later release.
    """
    files = {name: candidate.read(name) for name in (candidate.model_file, DECIDING_FILE)}
    files |= {GOLDEN_FILE: golden_file(golden), CARD_FILE: card}
    model, lineage = candidate.deciding.model, candidate.lineage
    bundle_digest = write_bundle(
        store,
        files,
        lineage=lineage,
        verdicts=(_NO_VERDICT,),
        keys=keys,
    )
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
