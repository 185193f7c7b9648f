"""Replays a whole decision log: how many decisions come out the same, and every one that does not."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from lifecycle.artefacts.replay import Replay, Replayer
from lifecycle.errors import LifecycleError
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, DecisionRecord
from serving.log.segments import read_records

LISTED = 20
"""Decisions that are listed one by one; all are counted."""
TOLD_EVERY = 500
"""Records between two calls of `progress`."""


class Scope(msgspec.Struct, frozen=True):
    """Which decisions: of one model or all, decided from `since` on and before `until`."""

    model: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def has(self, record: DecisionRecord) -> bool:
        """Whether a decision is among them."""
        return (
            (self.model is None or record.model == self.model)
            and (self.since is None or record.decided_at >= self.since)
            and (self.until is None or record.decided_at < self.until)
        )


class BundleReplays(msgspec.Struct):
    """The decisions of one bundle: all, those that came out the same, and those that cannot be replayed."""

    model: str
    decisions: int = 0
    same: int = 0
    unreplayable: int = 0


class Unreplayable(msgspec.Struct, frozen=True):
    """A decision that cannot be replayed, and why."""

    decision_id: str
    reason: str


class LogReplay(msgspec.Struct):
    """What a log gave. `failed_attempts` are records of requests that the server could not score: nothing was decided.

    The first `LISTED` decisions that differ, or cannot be replayed, are listed.
    """

    bundles: dict[str, BundleReplays] = {}
    failed_attempts: int = 0
    different: list[Replay] = []
    unreplayable: list[Unreplayable] = []

    @property
    def decisions(self) -> int:
        """Decisions that were replayed or could not be."""
        return sum(bundle.decisions for bundle in self.bundles.values())

    @property
    def is_same(self) -> bool:
        """Whether every decision was replayed and came out the same."""
        return all(bundle.same == bundle.decisions for bundle in self.bundles.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {"decisions": self.decisions, "is_same": self.is_same, **plain}


def replay_log(
    log: Path, store: Path, keys: PublicKeys, scope: Scope, progress: Callable[[int], None] | None = None
) -> LogReplay:
    """Replay every decision of a log, the shadows' and repeats included, by the rules of `replay_decision`.

    Memory does not grow with the log.

    Parameters
    ----------
    progress
        Called now and then with the number of decisions so far.

    Raises
    ------
    LifecycleError
        If the log is damaged; with the segment and the offset.
    """
    found, replayer = LogReplay(), Replayer(store, keys)
    try:
        for logged in read_records(log):
            record = logged.record
            if not isinstance(record, DecisionRecord) or not scope.has(record):
                continue
            if record.error is not None:
                found.failed_attempts += 1
                continue
            _count(found, replayer, record)
            if progress is not None and found.decisions % TOLD_EVERY == 0:
                progress(found.decisions)
    except ContractError as error:
        raise LifecycleError(str(error)) from error
    return found


def _count(found: LogReplay, replayer: Replayer, record: DecisionRecord) -> None:
    of_bundle = found.bundles.setdefault(record.bundle_digest or "none", BundleReplays(record.model))
    of_bundle.decisions += 1
    try:
        replay = replayer.replay(record)
    except LifecycleError as error:
        of_bundle.unreplayable += 1
        if len(found.unreplayable) < LISTED:
            found.unreplayable.append(Unreplayable(record.decision_id, str(error)))
        return
    of_bundle.same += replay.is_same
    if not replay.is_same and len(found.different) < LISTED:
        found.different.append(replay)
