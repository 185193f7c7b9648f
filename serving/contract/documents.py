"""Bundles, releases and decision records: the documents that `lifecycle` and `serving` share.

Every document carries a ``schema_version``. Readers accept the current version and all before it, since each one only
added to the one before and a decision log is kept for years, and reject a newer one by name. Digests are SHA-256 in
lower-case hex, taken over bytes as they were written, never over a document that was parsed and serialised again.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec

from serving.contract.expressions import Derivation

PSEUDONYM_KEY_BYTES = 32
"""Length of the key that pseudonymises entity keys."""
SCHEMA_VERSION = 1
"""Current version of every document but those below."""
MANIFEST_VERSION = 3
"""Since 2 a manifest names the format of the model file, since 3 the waivers of its gates. One without either is of
version 1, so that servers of before read it."""
DECIDING_VERSION = 2
"""Since 2 a deciding file may hold derived features, facts and categories with `other`; one without them is of version
1, so that servers of before read it."""
DECISION_RECORD_VERSION = 3
"""Since 2 a record holds reasons with texts and contributions, and the trace that the request came with. Since 3 it may
hold facts; one without them is of version 2."""
REJECTION_RECORD_VERSION = 2
"""Since 2 a rejection names the feature at fault, the kind of fault and the day of the event."""

FeatureDtype = Literal["float", "int", "category"]
FeatureSource = Literal["request", "online", "derived"]
DecisionName = Literal["approve", "review", "decline"]
SlotName = Literal["champion", "canary", "shadow"]
Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
ModelFormat = Literal["lightgbm", "xgboost"]
IdentitySource = Literal["os_user", "single_sign_on"]

MODEL_FILE = "model.txt"
MODEL_JSON_FILE = "model.json"
MODEL_FILES: dict[ModelFormat, str] = {"lightgbm": MODEL_FILE, "xgboost": MODEL_JSON_FILE}
"""The model file by its format: the text or the JSON that the library itself writes."""
DECIDING_FILE = "deciding.json"
GOLDEN_FILE = "golden.jsonl"
CARD_FILE = "card.html"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"


class ContractError(ValueError):
    """A document violates the contract; the message names what was expected, what was received and where."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every contract type: immutable, and strict about unknown keys."""


class Feature(Struct, frozen=True, kw_only=True):
    """One input of a model, in the order the model was trained with; or a fact, which only other features need.

    A derived feature is computed by the server, as its `derivation` says. `other` is the category that stands for each
    category that is not listed.
    """

    name: str
    dtype: FeatureDtype
    source: FeatureSource = "request"
    is_nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    monotone: Literal[-1, 0, 1] = 0
    reason_group: str | None = None
    other: str | msgspec.UnsetType = msgspec.UNSET
    derivation: Derivation | msgspec.UnsetType = msgspec.UNSET


class Calibration(Struct, frozen=True, kw_only=True):
    """Strictly increasing map of a margin to a probability: ``1 / (1 + exp(-(slope * margin + intercept)))``."""

    slope: float
    intercept: float


class Bands(Struct, frozen=True, kw_only=True):
    """Frozen thresholds on the score: ``decline`` from `decline_from`, ``review`` from `review_from`, else ``approve``.

    ``None`` means that the band is not used.
    """

    review_from: float | None
    decline_from: float | None = None


class ReasonTexts(Struct, frozen=True, kw_only=True):
    """Texts of adverse action reasons by reason group; `version` names the approved wording."""

    version: str
    texts: dict[str, str]


class Reason(Struct, frozen=True, kw_only=True):
    """A principal reason: the reason group as `code`, its text, and what the group added to the log odds."""

    code: str
    text: str
    contribution: float


class Deciding(Struct, frozen=True, kw_only=True):
    """Everything but the trees that determines a decision: `deciding.json` of a candidate and of a bundle.

    `facts` are fields of a request that derived features follow from, and that are no inputs of the model.
    """

    schema_version: int
    model: str
    features: tuple[Feature, ...]
    calibration: Calibration
    bands: Bands
    reason_texts: ReasonTexts | None = None
    facts: tuple[Feature, ...] | msgspec.UnsetType = msgspec.UNSET


class GoldenRow(Struct, frozen=True, kw_only=True):
    """A row that must reproduce its margin bit for bit, its score to 1e-12 and its contributions to 1e-9.

    Where the model has derived features, they must follow from the other features, `facts` and `occurred_at`, bit for
    bit.
    """

    features: dict[str, float | int | str | None]
    margin: float
    score: float
    contributions: tuple[float, ...] | None = None
    occurred_at: dt.datetime | msgspec.UnsetType = msgspec.UNSET
    facts: dict[str, float | int | str | None] | msgspec.UnsetType = msgspec.UNSET


class Verdict(Struct, frozen=True, kw_only=True):
    """One gate's verdict on one candidate.

    `is_inconclusive` says that evidence is missing rather than against the candidate. It is written only where it is
    true: documents of before, and manifests, which servers of before read, have the same bytes as ever.
    """

    gate: str
    is_passed: bool
    summary: str
    observed: dict[str, Any] = {}
    required: dict[str, Any] = {}
    is_inconclusive: bool | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Reject a verdict that says two things.

        Raises
        ------
        ValueError
            If it passed and is inconclusive.
        """
        if self.is_passed and self.is_inconclusive:
            raise ValueError(
                f"Expected `is_inconclusive` only of a verdict that did not pass, got both - at {self.gate}"
            )

    @classmethod
    def of(
        cls, gate: str, outcome: Outcome, summary: str, observed: dict[str, Any], required: dict[str, Any]
    ) -> "Verdict":
        """The verdict with this outcome."""
        return cls(
            gate=gate,
            is_passed=outcome == "PASS",
            summary=summary,
            observed=observed,
            required=required,
            is_inconclusive=True if outcome == "INCONCLUSIVE" else msgspec.UNSET,
        )

    @property
    def outcome(self) -> Outcome:
        """PASS, FAIL, or INCONCLUSIVE: evidence is missing. Only PASS lets a candidate through."""
        if self.is_passed:
            return "PASS"
        return "INCONCLUSIVE" if self.is_inconclusive is True else "FAIL"


class Lineage(Struct, frozen=True, kw_only=True):
    """Origin of a model, sufficient to train it again."""

    as_of: str
    training_set_digest: str
    code_commit: str | None
    parameters: dict[str, Any]
    seed: int
    library_versions: dict[str, str]
    mlflow_run_id: str | None = None


class SealedWaiver(Struct, frozen=True, kw_only=True):
    """A waiver of one gate that did not pass, as it was in force when the bundle was sealed; `name` gave it."""

    gate: str
    number: int
    name: str
    reason: str
    expires_at: dt.datetime


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`manifest.json`: its SHA-256 is the bundle's name.

    `descriptions` holds the meanings of features by name, for people. `model_format` says which file holds the trees.
    Each verdict passed, or is that of a gate that one of `waivers` names.
    """

    schema_version: int
    model: str
    candidate_digest: str
    lineage: Lineage
    verdicts: tuple[Verdict, ...]
    files: dict[str, str]
    descriptions: dict[str, str] = {}
    model_format: ModelFormat = "lightgbm"
    waivers: tuple[SealedWaiver, ...] = ()


class Signed(Struct, frozen=True, kw_only=True):
    """An Ed25519 signature and the key that made it; `manifest.sig`."""

    key_id: str
    signature: str


class SlotRelease(Struct, frozen=True, kw_only=True):
    """The bundle of a slot, and for a canary the share of entities that it answers."""

    bundle_digest: str
    as_of: str
    percent: float | None = None
    salt: str | None = None


class Release(Struct, frozen=True, kw_only=True):
    """One numbered release of a model; `predecessor` is the digest of the file before it, ``None`` for the first.

    `restores` is the number of the release whose champion a rollback brought back; ``None`` for a promotion.
    """

    schema_version: int
    model: str
    number: int
    predecessor: str | None
    champion: SlotRelease
    canary: SlotRelease | None = None
    shadow: SlotRelease | None = None
    ledger_head: str | None = None
    restores: int | None = None
    released_at: dt.datetime
    released_by: str
    reason: str


class Freeze(Struct, frozen=True, kw_only=True):
    """One numbered change of the switch that stops all promotion."""

    schema_version: int
    number: int
    is_frozen: bool
    changed_at: dt.datetime
    changed_by: str
    reason: str


class Resume(Struct, frozen=True, kw_only=True):
    """A person's order to promote a model automatically again after a rollback.

    `release_number` is the number of the release that rolled back.
    """

    schema_version: int
    model: str
    release_number: int
    resumed_at: dt.datetime
    resumed_by: str
    reason: str


class Consent(Struct, frozen=True, kw_only=True):
    """A person's act on one candidate: an approval, with `gate` a waiver of that gate, or the withdrawal of either.

    `name` is the person, as claimed. `account` is the user of the operating system that the act was written by, or the
    identity of the single sign-on (`account_from`). `expires_at` is ``None`` for a withdrawal.
    """

    schema_version: int
    model: str
    number: int
    candidate_digest: str
    gate: str | None = None
    is_withdrawal: bool = False
    name: str
    account: str
    account_from: IdentitySource = "os_user"
    reason: str
    acted_at: dt.datetime
    expires_at: dt.datetime | None = None


class SignedRelease(Struct, frozen=True, kw_only=True):
    """A stored release: `payload` is the release's JSON text, and the signature covers exactly these bytes."""

    payload: str
    key_id: str
    signature: str


class DecisionRecord(Struct, frozen=True, kw_only=True):
    """One line of the decision log.

    `entity_key` is a keyed hash, never what the caller sent. `features` holds the row in the schema's order, derived
    features included; they follow from the others, `occurred_at` and `facts`, the fields that are no features, in the
    deciding file's order.
    `elapsed_us` is the time from the request's arrival until the record was passed to the log. An error has `error` set
    and no score. A shadow's record has the `decision_id` of the decision that was copied. `reasons` are the principal
    ones, the strongest first; ``None`` if they were not requested. `caller` is the name of the API key, `trace_id` the
    caller's W3C trace.
    """

    schema_version: int
    decision_id: str
    transaction_id: str
    entity_key: str
    occurred_at: dt.datetime
    decided_at: dt.datetime
    model: str
    slot: SlotName
    bundle_digest: str | None
    release_number: int | None
    features: tuple[float | int | str | None, ...] | None
    margin: float | None
    score: float | None
    decision: DecisionName | None
    reasons: tuple[Reason, ...] | None = None
    caller: str | None = None
    trace_id: str | None = None
    elapsed_us: int
    error: str | None = None
    facts: tuple[float | int | str | None, ...] | msgspec.UnsetType = msgspec.UNSET


class RejectionRecord(Struct, frozen=True, kw_only=True, tag_field="record", tag="rejection"):
    """Requests that got no decision, as a line of the decision log; nothing in it was chosen by the caller.

    `kind` is the error's kind and `path` the place of the fault in the request. `feature` is the feature of the schema,
    or the key of the envelope, at fault, and `fault` one of `serving.errors.Fault`. `occurred_on` is the UTC day of the
    event, ``None`` if the request did not say it. `model` is ``None`` if no release names it, `decision_id` if it was
    not read. Requests that were rejected before they were read, or faster than lines may be written, share a line.
    `count` is the number of decisions that were asked for: a refused batch counts each of its requests.
    """

    schema_version: int
    rejected_at: dt.datetime
    kind: str
    status: int
    path: str | None = None
    model: str | None = None
    decision_id: str | None = None
    caller: str | None = None
    trace_id: str | None = None
    count: int = 1
    feature: str | None = None
    fault: str | None = None
    occurred_on: dt.date | None = None


def record_version(facts: tuple[Any, ...]) -> int:
    """Oldest version of a decision record that holds these facts, so that older readers read all that they can."""
    return DECISION_RECORD_VERSION if facts else 2


def manifest_version(model_format: ModelFormat, waivers: Sequence[SealedWaiver] = ()) -> int:
    """Oldest version of a manifest that holds this, so that servers of before read all that they can."""
    if waivers:
        return MANIFEST_VERSION
    return SCHEMA_VERSION if model_format == "lightgbm" else 2


def digest(content: bytes) -> str:
    """SHA-256 of `content` in lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def candidate_digest(files: dict[str, bytes]) -> str:
    """Name of a candidate: the SHA-256 of one line ``<digest>  <name>`` for each deciding file, sorted by name.

    Raises
    ------
    ContractError
        If a deciding file is missing, or there are two model files.
    """
    models = [name for name in MODEL_FILES.values() if name in files]
    if len(models) != 1 or DECIDING_FILE not in files:
        raise ContractError(
            f"Expected the files {DECIDING_FILE} and one of {list(MODEL_FILES.values())}, got {sorted(files)} "
            "- at the candidate"
        )
    lines = [f"{digest(files[name])}  {name}\n" for name in sorted((DECIDING_FILE, *models))]
    return digest("".join(lines).encode())


def encode(document: Struct) -> bytes:
    """A contract document as indented JSON with a final newline, as written, digested and signed.

    Keys of dictionaries are sorted, so that insertion order does not change a digest.
    """
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=2) + b"\n"


Document = TypeVar("Document", bound=Struct)


def decode(content: bytes, document_type: type[Document], where: str) -> Document:
    """Read a contract document strictly.

    Raises
    ------
    ContractError
        If it is not valid JSON, has a missing or extra key, a value of a wrong type, or a version that this code
        cannot read. The message ends with `where`.
    """
    try:
        document = msgspec.json.decode(content, type=document_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        current = _current_version(document_type)
        newer = _newer_version(content, current)
        if newer is not None:
            raise ContractError(_version_message(newer, current, where)) from error
        raise ContractError(f"{error} - in {where}") from error
    current = _current_version(document_type)
    version = getattr(document, "schema_version", current)
    if version not in readable_versions(current):
        raise ContractError(_version_message(version, current, where))
    return document


def readable_versions(current: int) -> tuple[int, ...]:
    """The versions that a reader of `current` accepts.

    Examples
    --------
    >>> readable_versions(1), readable_versions(3)
    ((1,), (1, 2, 3))
    """
    return tuple(range(1, current + 1))


def _current_version(document_type: type[Struct]) -> int:
    versions: dict[type[Struct], int] = {
        Manifest: MANIFEST_VERSION,
        Deciding: DECIDING_VERSION,
        DecisionRecord: DECISION_RECORD_VERSION,
        RejectionRecord: REJECTION_RECORD_VERSION,
    }
    return versions.get(document_type, SCHEMA_VERSION)


def _newer_version(content: bytes, current: int) -> int | None:
    """The document's version if it is readable and newer than this code."""
    try:
        loose = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    version = loose.get("schema_version") if isinstance(loose, dict) else None
    return version if isinstance(version, int) and version > current else None


def _version_message(version: int, current: int, where: str) -> str:
    return (
        f"Expected schema_version {' or '.join(map(str, readable_versions(current)))}, got {version}; "
        f"upgrade this installation - in {where}"
    )
