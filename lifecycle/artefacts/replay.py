"""Replays a recorded decision with the bundle that made it."""

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from lifecycle.artefacts.bundles import bundle_folder
from lifecycle.errors import LifecycleError
from serving.artefacts.bundle import read_bundle
from serving.artefacts.signatures import PublicKeys
from serving.contract.derivation import completion, facts_of, fields_of_request, is_derived
from serving.contract.documents import ContractError, Deciding, DecisionRecord, Reason, SlotName
from serving.contract.features import Value, encode
from serving.contract.row_compiler import RowError
from serving.log.segments import find_records
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.model import CONTRIBUTION_TOLERANCE, LoadedModel, Scored, bits, load_model

BUNDLES_LOADED = 8


class Line(msgspec.Struct, frozen=True):
    """One value of a decision, as recorded and as replayed."""

    name: str
    recorded: str
    replayed: str
    is_same: bool


class Replay(msgspec.Struct, frozen=True):
    """A decision and its recomputation."""

    decision_id: str
    model: str
    slot: SlotName
    release_number: int
    bundle_digest: str
    lines: tuple[Line, ...]

    @property
    def is_same(self) -> bool:
        """Whether every value is the same."""
        return all(line.is_same for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain | {"is_same": self.is_same}


def replay_decision(decision_id: str, log: Path, store: Path, keys: PublicKeys) -> list[Replay]:
    """Find a decision in the log and score it again with the bundle that it names.

    Margin and score must be the same bits, and the decision the same; reasons and their texts the same in the same
    order, their contributions to 1e-9 (another processor may fuse operations differently). Every record of the decision
    is replayed: the answer, the shadow's, and repeats from a server that was killed before it answered.

    Raises
    ------
    LifecycleError
        If there is no such decision, only failed attempts at it, or its bundle is missing, does not verify, or is
        another model's.
    """
    try:
        records = [logged.record for logged in find_records(log, decision_id)]
        if not records:
            raise LifecycleError(f"Expected decision {decision_id} in the decision log, found no record - in {log}")
        decided = [record for record in records if record.error is None]
        if not decided:
            raise LifecycleError(f"Expected a decision {decision_id}, found only failed attempts: {records[-1].error}")
        replayer = Replayer(store, keys)
        return [replayer.replay(record) for record in decided]
    except ContractError as error:
        raise LifecycleError(str(error)) from error


class Replayer:
    """Scores records again; a bundle is verified and loaded once, the `BUNDLES_LOADED` used last are kept."""

    def __init__(self, store: Path, keys: PublicKeys) -> None:
        self._store = store
        self._keys = keys
        self._loaded = lru_cache(maxsize=BUNDLES_LOADED)(self._load)

    def replay(self, record: DecisionRecord) -> Replay:
        """A record of a decision that was made, and its recomputation.

        Raises
        ------
        LifecycleError
            If the record lacks what a decision has, or its bundle is missing, does not verify, or is another model's.
        """
        if record.bundle_digest is None or record.release_number is None or record.features is None:
            raise LifecycleError(
                f"Expected a bundle, a release and features, missing at least one - at decision {record.decision_id}"
            )
        try:
            loaded = self._loaded(record.bundle_digest)
            model = loaded.bundle.manifest.model
            if model != record.model:
                raise LifecycleError(
                    f"Expected a bundle of {record.model}, got one of {model} - at {record.bundle_digest}"
                )
            features = _checked(loaded, record.features)
            derived = _derived_lines(loaded.bundle.deciding, record)
            scored = loaded.score(features)
            reasons = None if record.reasons is None else loaded.explain(features)
        except (ContractError, ScoringError) as error:
            raise LifecycleError(str(error)) from error
        return Replay(
            record.decision_id,
            record.model,
            record.slot,
            record.release_number,
            record.bundle_digest,
            (*derived, *_lines(record, scored, reasons)),
        )

    def otherwise(self, record: DecisionRecord, bundle_digest: str) -> Scored:
        """What another bundle makes of a record's features; it must be one of the same model with the same features.

        Raises
        ------
        LifecycleError
            If the bundle is missing, does not verify or has other features, or the record has none.
        """
        if record.features is None or record.bundle_digest is None:
            raise LifecycleError(f"Expected features and a bundle, missing one - at decision {record.decision_id}")
        try:
            own, other = self._loaded(record.bundle_digest), self._loaded(bundle_digest)
            names = [[feature.name for feature in loaded.bundle.deciding.features] for loaded in (own, other)]
            if names[0] != names[1] or other.bundle.manifest.model != record.model:
                raise LifecycleError(
                    f"Expected a bundle of {record.model} with the features of {record.bundle_digest}, got others "
                    f"- at {bundle_digest}"
                )
            return other.score(_checked(other, record.features))
        except (ContractError, ScoringError) as error:
            raise LifecycleError(str(error)) from error

    def _load(self, digest: str) -> LoadedModel:
        return load_model(read_bundle(bundle_folder(self._store, digest), self._keys))


def _checked(loaded: LoadedModel, features: Sequence[float | int | str | None]) -> Sequence[float | int | str | None]:
    """The recorded features, validated like those of a request."""
    schema = loaded.bundle.deciding.features
    if len(features) != len(schema):
        raise LifecycleError(f"Expected {len(schema)} features, got {len(features)} - at the decision's record")
    encode({feature.name: value for feature, value in zip(schema, features, strict=True)}, schema)
    return features


def _derived_lines(deciding: Deciding, record: DecisionRecord) -> tuple[Line, ...]:
    """Every derived feature, as recorded and as it follows from the recorded fields."""
    recorded = dict(zip((feature.name for feature in deciding.features), record.features or (), strict=True))
    derived = [feature for feature in deciding.features if is_derived(feature)]
    if not derived:
        return ()
    facts = record.facts if isinstance(record.facts, tuple) else ()
    if len(facts) != len(facts_of(deciding)):
        raise LifecycleError(f"Expected {len(facts_of(deciding))} facts, got {len(facts)} - at the decision's record")
    held = recorded | dict(zip((fact.name for fact in facts_of(deciding)), facts, strict=True))
    carried = tuple(held[field.name] for field in fields_of_request(deciding))
    try:
        row = completion(deciding.features, facts_of(deciding))(carried, record.occurred_at.astimezone(dt.UTC))
    except RowError as error:
        raise LifecycleError(f"Expected fields that {error} follows from - at the decision's record") from None
    replayed = dict(zip(recorded, row, strict=True))
    return tuple(_value_line(feature.name, recorded[feature.name], replayed[feature.name]) for feature in derived)


def _value_line(name: str, recorded: Value, replayed: Value) -> Line:
    is_same = type(recorded) is type(replayed) and (
        bits(recorded) == bits(replayed)
        if isinstance(recorded, float) and isinstance(replayed, float)
        else recorded == replayed
    )
    return Line(name, repr(recorded), repr(replayed), is_same)


def _lines(record: DecisionRecord, scored: Scored, reasons: tuple[Reason, ...] | None) -> tuple[Line, ...]:
    lines = (
        _number_line("margin", record.margin, scored.margin),
        _number_line("score", record.score, scored.score),
        Line("decision", str(record.decision), scored.decision, record.decision == scored.decision),
    )
    if record.reasons is None or reasons is None:
        return lines
    return (*lines, _reasons_line(record.reasons, reasons))


def _reasons_line(recorded: tuple[Reason, ...], replayed: tuple[Reason, ...]) -> Line:
    is_same = [(reason.code, reason.text) for reason in recorded] == [(reason.code, reason.text) for reason in replayed]
    is_same = is_same and all(
        abs(old.contribution - new.contribution) <= CONTRIBUTION_TOLERANCE
        for old, new in zip(recorded, replayed, strict=True)
    )
    return Line("reasons", _described(recorded), _described(replayed), is_same)


def _described(reasons: tuple[Reason, ...]) -> str:
    return ", ".join(f"{reason.code} {reason.contribution:+.6f}" for reason in reasons) or "none"


def _number_line(name: str, recorded: float | None, replayed: float) -> Line:
    is_same = recorded is not None and bits(recorded) == bits(replayed)
    return Line(name, repr(recorded), repr(replayed), is_same)
