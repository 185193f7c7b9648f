"""The model behind a decision: its bundle, its gates, its training data and the approvals of it."""

from collections.abc import Sequence

from lifecycle.artefacts.bundles import bundle_folder
from lifecycle.artefacts.erased_examples import tombstones
from lifecycle.artefacts.known_candidates import known_candidates
from lifecycle.artefacts.training_sets import TrainingSetStore
from lifecycle.errors import LifecycleError
from lifecycle.local.audit.checks import Check, failed, passed, unknown
from lifecycle.local.audit.documents import LedgerEntry, Model, TrainingData
from lifecycle.releases.ledger.events import is_record_of
from lifecycle.releases.ledger.records import Record
from lifecycle.settings.platform import Settings
from serving.artefacts.bundle import Bundle, read_bundle
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import SIGNATURE_FILE, ContractError, Signed, decode

BUNDLE = "bundle"
GATES = "gates"
TRAINING_DATA = "training data"


def verified(settings: Settings, bundle_digest: str, keys: PublicKeys) -> Bundle:
    """The bundle of a decision; raises `LifecycleError` if it is missing or does not verify."""
    folder = bundle_folder(settings.release_store, bundle_digest)
    if not folder.is_dir():
        raise LifecycleError(f"the bundle {bundle_digest} is missing - in {folder.parent}; restore it from a backup")
    try:
        return read_bundle(folder, keys)
    except ContractError as error:
        raise LifecycleError(str(error)) from error


def model_of(bundle: Bundle) -> Model:
    """What the bundle's manifest says of the model."""
    manifest, lineage = bundle.manifest, bundle.manifest.lineage
    signed = decode(bundle.files[SIGNATURE_FILE], Signed, SIGNATURE_FILE)
    return Model(
        bundle_digest=bundle.digest,
        candidate_digest=manifest.candidate_digest,
        training_set_digest=lineage.training_set_digest,
        as_of=lineage.as_of,
        code_commit=lineage.code_commit,
        seed=lineage.seed,
        library_versions=lineage.library_versions,
        verdicts=manifest.verdicts,
        waived=tuple(waiver.gate for waiver in manifest.waivers),
        signed_by=signed.key_id,
    )


def bundle_check(model: Model) -> Check:
    """The check of a bundle that `verified` has accepted."""
    return passed(BUNDLE, f"signed by key {model.signed_by}; its files have the digests of its manifest")


def gates_check(model: Model, records: Sequence[Record]) -> Check:
    """Whether each gate passed or was waived, and the ledger holds the same verdicts, number for number."""
    stopped = [verdict.gate for verdict in model.verdicts if not verdict.is_passed]
    refused = [gate for gate in stopped if gate not in model.waived]
    if refused:
        return failed(GATES, f"the manifest names gates that did not pass: {', '.join(refused)}")
    held = f"{len(model.verdicts) - len(stopped)} passed" + (f", waived {', '.join(stopped)}" if stopped else "")
    judged = [
        record
        for record in records
        if record.kind == "gates" and record.subjects.get("candidate") == model.candidate_digest
    ]
    if not judged:
        return unknown(
            GATES,
            f"{held} by the manifest; the verified part of the ledger has no record of them",
        )
    for record in judged:
        if is_record_of(record, model.verdicts):
            return passed(GATES, f"{held}, as record {record.sequence} of the ledger has them")
    numbers = ", ".join(str(record.sequence) for record in judged)
    return failed(GATES, f"the manifest's verdicts differ from those of the ledger's records {numbers}")


def training_data_of(settings: Settings, model_name: str, model: Model) -> TrainingData:
    """The description of the training set; raises `LifecycleError` if its folder is gone."""
    known = known_candidates(settings).get(model.candidate_digest)
    owner = model_name if known is None else known.model
    found = TrainingSetStore(settings.training_sets_dir, owner).find(model.as_of, model.training_set_digest)
    if found is None:
        raise LifecycleError(
            f"the training set {model.training_set_digest} as of {model.as_of} is not in {settings.training_sets_dir}"
        )
    description = found.description
    return TrainingData(
        digest=description.digest,
        as_of=description.as_of,
        first_day=description.first_day,
        end_day=description.end_day,
        rows=description.rows,
        reported=description.reported,
        rows_erased=sum(tombstone.rows for tombstone in tombstones(found.folder).values()),
    )


def training_data_check(model: Model, records: Sequence[Record]) -> Check:
    """Whether the ledger recorded the candidate with the training set that the manifest names."""
    trained = [
        record
        for record in records
        if record.kind == "training" and record.subjects.get("candidate") == model.candidate_digest
    ]
    if not trained:
        return unknown(TRAINING_DATA, "the verified part of the ledger has no record of this training")
    for record in trained:
        facts = (record.facts.get("as_of"), record.facts.get("code_commit"), record.facts.get("seed"))
        if record.subjects.get("training_set") == model.training_set_digest and facts == (
            model.as_of,
            model.code_commit,
            model.seed,
        ):
            return passed(TRAINING_DATA, f"digest, date, commit and seed are those of record {record.sequence}")
    numbers = ", ".join(str(record.sequence) for record in trained)
    return failed(TRAINING_DATA, f"the manifest's lineage differs from that of the ledger's records {numbers}")


def approvals_of(records: Sequence[Record], digests: frozenset[str]) -> tuple[LedgerEntry, ...]:
    """Approvals and waivers that name one of these digests."""
    return tuple(
        entry_of(record)
        for record in records
        if record.kind in {"approval", "waiver"} and digests & set(record.subjects.values())
    )


def entry_of(record: Record) -> LedgerEntry:
    """A record of the ledger in short."""
    return LedgerEntry(
        sequence=record.sequence,
        recorded_at=record.recorded_at,
        kind=record.kind,
        by=f"{record.actor.kind} {record.actor.name}",
    )
