"""What an audit tells of a decision: plain documents, for the terminal and for JSON."""

import datetime as dt
from typing import Any

import msgspec

from lifecycle.artefacts.replay import Replay
from lifecycle.local.audit.checks import Check, none_failed
from lifecycle.local.audit.log_search import Search
from serving.contract.documents import Bands, DecisionName, Freeze, Reason, Release, SlotName, Verdict


class Values(msgspec.Struct, frozen=True):
    """What the caller sent, shown on request only; features by name, by position if the bundle cannot be read."""

    transaction_id: str
    entity_key: str
    features: dict[str, Any]
    facts: dict[str, Any]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the decision, without what the caller sent unless `values` has it.

    A shadow's record was never answered. `erasures` are the numbers of the erasure records of its entity.
    """

    decided_at: dt.datetime
    occurred_at: dt.datetime
    model: str
    slot: SlotName
    is_answer: bool
    score: float | None
    margin: float | None
    decision: DecisionName | None
    bands: Bands | None
    reasons: tuple[Reason, ...] | None
    caller: str | None
    trace_id: str | None
    error: str | None
    segment: str
    offset: int
    erasures: tuple[int, ...]
    values: Values | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The model that decided, from its bundle's signed manifest."""

    bundle_digest: str
    candidate_digest: str
    training_set_digest: str
    as_of: str
    code_commit: str | None
    seed: int
    library_versions: dict[str, str]
    verdicts: tuple[Verdict, ...]
    waived: tuple[str, ...]
    """Gates that did not pass, and that a person's waiver in the manifest covers."""
    signed_by: str


class TrainingData(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen rows that the model learned from, from the description in their folder; days ``[first, end)``."""

    digest: str
    as_of: str
    first_day: str
    end_day: str
    rows: int
    reported: int
    rows_erased: int


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the ledger that concerns the model or its release; `by` is the kind and the name of its actor."""

    sequence: int
    recorded_at: dt.datetime
    kind: str
    by: str


class ReleaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """A release whose signature verifies, the digest of its file, and the key that signed it."""

    digest: str
    signed_by: str
    release: Release


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The release that decided, with its neighbours, and the freeze of promotion at that moment."""

    served: ReleaseFile | None
    before: ReleaseFile | None
    after: ReleaseFile | None
    freeze: Freeze | None


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """What another bundle makes of the same features; `places` are its slots in the release and its neighbours.

    `unknown` says why it could not be scored.
    """

    bundle_digest: str
    places: tuple[str, ...]
    score: float | None = None
    decision: str | None = None
    unknown: str | None = None


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger's head now, the head that the release names, and the problems that its verification found."""

    origin: str | None
    records: int | None
    root: str | None
    release_head: str | None
    problems: tuple[str, ...]
    entries: tuple[LedgerEntry, ...]


class RecordAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one record of the decision; `unknown` says why a part is missing, by its name.

    `alternatives` is empty unless they were asked for.
    """

    decision: Decision
    model: Model | None
    training_data: TrainingData | None
    approvals: tuple[LedgerEntry, ...]
    releases: InForce
    ledger: LedgerState
    replay: Replay | None
    alternatives: tuple[Alternative, ...]
    checks: tuple[Check, ...]
    unknown: dict[str, str]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The audit of one decision: a part for each record of it, and the checks that concern all of them."""

    decision_id: str
    search: Search
    records: tuple[RecordAudit, ...]
    checks: tuple[Check, ...]

    @property
    def is_passed(self) -> bool:
        """Whether no check failed."""
        return none_failed(self.checks) and all(none_failed(record.checks) for record in self.records)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the log's records are in `records`, without what callers sent."""
        search: dict[str, Any] = msgspec.to_builtins(self.search)
        del search["records"]
        search["rejections"] = [
            {"rejected_at": one["rejected_at"], "kind": one["kind"], "status": one["status"]}
            for one in search["rejections"]
        ]
        plain: dict[str, Any] = msgspec.to_builtins(self)
        for record, part in zip(self.records, plain["records"], strict=True):
            if record.replay is not None:
                part["replay"]["is_same"] = record.replay.is_same
        return plain | {"search": search, "is_passed": self.is_passed}
