"""The audit of one decision: every part is established or says why it cannot be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lifecycle.artefacts.log_replay import Scope
from lifecycle.artefacts.replay import Replay, Replayer
from lifecycle.errors import LifecycleError
from lifecycle.local.audit.checks import Check, failed, passed, unknown
from lifecycle.local.audit.documents import (
    Alternative,
    Audit,
    Decision,
    InForce,
    Model,
    RecordAudit,
    TrainingData,
    Values,
)
from lifecycle.local.audit.in_force import History, freeze_at
from lifecycle.local.audit.ledger_state import head_check, ledger_check, ledger_state, verification_of
from lifecycle.local.audit.log_search import DECISION_LOG, FoundRecord, Search, not_found, search_log, segment_check
from lifecycle.local.audit.model_origin import (
    BUNDLE,
    approvals_of,
    bundle_check,
    gates_check,
    model_of,
    training_data_check,
    training_data_of,
    verified,
)
from lifecycle.releases.ledger.verify import Verification
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import PUBLIC_KEY_FILE
from lifecycle.warehouse.erasure import record_numbers
from serving.artefacts.bundle import Bundle
from serving.artefacts.release_rules import slots_of
from serving.artefacts.signatures import PublicKeys, read_public_keys
from serving.contract.derivation import facts_of, is_derived
from serving.contract.documents import ContractError, DecisionRecord

REPLAY = "replay"
ONE_DECISION = "one decision"
_HIDDEN = "not shown"
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Asked:
    """What an audit tells beyond the usual.

    Attributes
    ----------
    has_values
        Whether to show what the caller sent. It is never shown for an erased person.
    has_otherwise
        Whether to score the features with the other bundles of the release and its neighbours, which loads them.
    """

    has_values: bool = False
    has_otherwise: bool = False


_USUAL = Asked()


def audit_decision(
    settings: Settings, decision_id: str, scope: Scope, *, log: Path | None = None, asked: Asked = _USUAL
) -> Audit:
    """Audit a decision; reads, and changes nothing.

    Memory does not grow with the log; the ledger and the releases of the model are held as a whole.

    Parameters
    ----------
    scope
        Model and span of time to search.
    log
        Folder of another decision log, for example an archive; by default that of the installation.

    Raises
    ------
    LifecycleError
        If there is no record of the decision, or the public key or the ledger cannot be read.
    """
    folder = settings.decision_log_dir if log is None else log
    search = search_log(folder, decision_id, scope)
    if not search.records:
        raise LifecycleError(not_found(search, decision_id, scope))
    try:
        keys = read_public_keys(settings.keys_dir / PUBLIC_KEY_FILE)
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    auditor = _Auditor(settings, folder, keys, asked)
    records = tuple(auditor.audit(found) for found in search.records)
    checks = [one_decision_check(search), ledger_check(auditor.verification)]
    if search.damaged:
        checks.append(failed(DECISION_LOG, f"damaged lines name this decision: {'; '.join(search.damaged)}"))
    return Audit(decision_id=decision_id, search=search, records=records, checks=tuple(checks))


def one_decision_check(search: Search) -> Check:
    """Whether the records agree on one decision: a repeat after a restart is recorded again, with the same values."""
    answers = [found.record for found in search.records if found.record.slot != "shadow" and found.record.error is None]
    if not answers:
        return unknown(ONE_DECISION, "no record is an answer: only shadows or failed attempts")
    if search.count > len(search.records):
        return failed(ONE_DECISION, f"{search.count:,} records have this id; the first {len(search.records)} are shown")
    if len(answers) == 1:
        return passed(ONE_DECISION, "one record is the answer")
    if len({(answer.model, answer.transaction_id, answer.entity_key) for answer in answers}) > 1:
        return failed(ONE_DECISION, f"{len(answers)} answers with this id are about different requests")
    if len({(answer.bundle_digest, answer.margin, answer.score, answer.decision) for answer in answers}) > 1:
        return unknown(
            ONE_DECISION,
            f"{len(answers)} answers differ: the request was repeated and scored again; the caller's log tells which "
            "one was used",
        )
    return passed(ONE_DECISION, f"{len(answers)} answers are the same: the request was repeated")


@dataclass
class _Found:
    """Checks of one record, and why parts of it are missing, while they are gathered."""

    checks: list[Check] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    def attempt(self, part: str, read: Callable[[], _Part]) -> _Part | None:
        """What `read` returns; ``None`` if it cannot be established, with the reason kept."""
        try:
            return read()
        except LifecycleError as error:
            self.unknown[part] = str(error)
            return None


class _Auditor:
    """Audits records of one installation; what they share is read once."""

    def __init__(self, settings: Settings, log: Path, keys: PublicKeys, asked: Asked) -> None:
        self._settings = settings
        self._log = log
        self._keys = keys
        self._asked = asked
        self._replayer = Replayer(settings.release_store, keys)
        self._erasures = record_numbers(settings)
        self._histories: dict[str, History] = {}
        self.verification: Verification = verification_of(settings.release_store, keys)

    def audit(self, logged: FoundRecord) -> RecordAudit:
        """The audit of one record."""
        record, found = logged.record, _Found()
        found.checks.append(segment_check(self._log, logged.segment))
        bundle = self._bundle(record, found)
        model = None if bundle is None else model_of(bundle)
        training_data = None if model is None else self._model_checks(record, model, found)
        releases = self._releases(record, found)
        found.checks.append(head_check(self.verification, releases.served))
        digests = frozenset() if model is None else frozenset({model.bundle_digest, model.candidate_digest})
        approvals = approvals_of(self.verification.records, digests)
        if not approvals:
            found.unknown["approvals"] = "the ledger has no approval or waiver of this model"
        return RecordAudit(
            decision=self._decision(logged, bundle, found),
            model=model,
            training_data=training_data,
            approvals=approvals,
            releases=releases,
            ledger=ledger_state(self.verification, record.model, model, releases.served),
            replay=self._replay(record, bundle, found),
            alternatives=tuple(self._alternatives(record, releases)) if self._asked.has_otherwise else (),
            checks=tuple(found.checks),
            unknown=found.unknown,
        )

    def _bundle(self, record: DecisionRecord, found: _Found) -> Bundle | None:
        digest = record.bundle_digest
        if digest is None:
            found.unknown["model"] = "the record names no bundle"
            return None
        bundle = found.attempt("model", lambda: verified(self._settings, digest, self._keys))
        if bundle is None:
            found.checks.append(failed(BUNDLE, found.unknown["model"]))
        return bundle

    def _model_checks(self, record: DecisionRecord, model: Model, found: _Found) -> TrainingData | None:
        records = self.verification.records
        found.checks += [bundle_check(model), training_data_check(model, records), gates_check(model, records)]
        if model.code_commit is None:
            found.unknown["code_commit"] = "the training recorded none: it ran outside a git checkout"
        return found.attempt("training_data", lambda: training_data_of(self._settings, record.model, model))

    def _releases(self, record: DecisionRecord, found: _Found) -> InForce:
        store = self._settings.release_store
        if record.model not in self._histories:
            self._histories[record.model] = History(store, record.model, self._keys)
        history = self._histories[record.model]
        found.checks += history.checks(record)
        freeze = found.attempt("freeze", lambda: freeze_at(store, record, self._keys))
        releases = history.around(record, freeze)
        if releases.served is None:
            found.unknown["release"] = found.checks[-1].detail
        return releases

    def _replay(self, record: DecisionRecord, bundle: Bundle | None, found: _Found) -> Replay | None:
        """The recomputation; derived features follow from what the caller sent and are shown on request only."""
        if record.error is not None:
            found.unknown["replay"] = f"nothing was decided: {record.error}"
            found.checks.append(unknown(REPLAY, found.unknown["replay"]))
            return None
        replay = found.attempt("replay", lambda: self._replayer.replay(record))
        if replay is None:
            found.checks.append(failed(REPLAY, found.unknown["replay"]))
            return None
        different = [line.name for line in replay.lines if not line.is_same]
        found.checks.append(
            failed(REPLAY, f"not the same: {', '.join(different)}")
            if different
            else passed(REPLAY, "the same, margin and score bit for bit")
        )
        return replay if self._may_show(record) else _without_values(replay, bundle)

    def _alternatives(self, record: DecisionRecord, releases: InForce) -> Iterator[Alternative]:
        """The other bundles of the release and its neighbours, and what each makes of the same features."""
        for bundle, places in _other_bundles(record, releases).items():
            try:
                scored = self._replayer.otherwise(record, bundle)
            except LifecycleError as error:
                yield Alternative(bundle_digest=bundle, places=tuple(places), unknown=str(error))
                continue
            yield Alternative(bundle_digest=bundle, places=tuple(places), score=scored.score, decision=scored.decision)

    def _decision(self, logged: FoundRecord, bundle: Bundle | None, found: _Found) -> Decision:
        record = logged.record
        erasures = tuple(self._erasures.get(record.entity_key, ()))
        if erasures:
            found.unknown["values"] = (
                f"the person was erased, erasure record {', '.join(map(str, erasures))}: the inputs are not shown. The "
                "decision log holds them until its segment is removed"
            )
        elif not self._asked.has_values:
            found.unknown["values"] = "not shown: they are a customer's; --values shows them"
        return Decision(
            decided_at=record.decided_at,
            occurred_at=record.occurred_at,
            model=record.model,
            slot=record.slot,
            is_answer=record.slot != "shadow" and record.error is None,
            score=record.score,
            margin=record.margin,
            decision=record.decision,
            bands=None if bundle is None else bundle.deciding.bands,
            reasons=record.reasons,
            caller=record.caller,
            trace_id=record.trace_id,
            error=record.error,
            segment=logged.segment,
            offset=logged.offset,
            erasures=erasures,
            values=_values(record, bundle) if self._may_show(record) else None,
        )

    def _may_show(self, record: DecisionRecord) -> bool:
        return self._asked.has_values and record.entity_key not in self._erasures


def _other_bundles(record: DecisionRecord, releases: InForce) -> dict[str, list[str]]:
    """Bundles that did not decide, each with its slots in the release and its neighbours."""
    found: dict[str, list[str]] = {}
    for file in (releases.before, releases.served, releases.after):
        for slot, filled in () if file is None else slots_of(file.release):
            if file is not None and filled.bundle_digest != record.bundle_digest:
                found.setdefault(filled.bundle_digest, []).append(f"{slot} of release {file.release.number}")
    return found


def _without_values(replay: Replay, bundle: Bundle | None) -> Replay:
    features = () if bundle is None else bundle.deciding.features
    derived = {feature.name for feature in features if is_derived(feature)}
    lines = tuple(
        msgspec.structs.replace(line, recorded=_HIDDEN, replayed=_HIDDEN) if line.name in derived else line
        for line in replay.lines
    )
    return msgspec.structs.replace(replay, lines=lines)


def _values(record: DecisionRecord, bundle: Bundle | None) -> Values:
    facts = record.facts if isinstance(record.facts, tuple) else ()
    features = record.features or ()
    names = None if bundle is None else [feature.name for feature in bundle.deciding.features]
    fact_names = None if bundle is None else [fact.name for fact in facts_of(bundle.deciding)]
    return Values(
        transaction_id=record.transaction_id,
        entity_key=record.entity_key,
        features=_named(features, names),
        facts=_named(facts, fact_names),
    )


def _named(values: tuple[Any, ...], names: list[str] | None) -> dict[str, Any]:
    """Values by name; by position if the names are unknown or do not fit."""
    if names is None or len(names) != len(values):
        names = [str(position) for position in range(1, len(values) + 1)]
    return dict(zip(names, values, strict=True))
