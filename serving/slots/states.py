"""The states of a bundle in a slot, and the journal of transitions between them."""

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from serving.contract.documents import SlotName

State = Literal["new", "verifying", "warming", "ready", "serving", "retiring", "failed"]

TRANSITIONS: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        "new": frozenset({"verifying", "ready", "failed"}),
        "verifying": frozenset({"warming", "failed"}),
        "warming": frozenset({"ready", "failed"}),
        "ready": frozenset({"serving", "failed"}),
        "serving": frozenset({"retiring"}),
        "retiring": frozenset(),
        "failed": frozenset({"new"}),
    }
)
"""`new` to `ready`: the bundle is loaded already, in a slot of the release that serves. `ready` to `failed`: another
slot of the same release failed, and releases load atomically. `failed` to `new`: a retry. After `retiring` the bundle
is forgotten, once the last request that uses it has ended."""

EVENTS_KEPT: Final = 64
"""For each model: some ten releases with three slots."""

logger = logging.getLogger(__name__)


class SlotKey(NamedTuple):
    """A slot of one release of a model."""

    model: str
    slot: SlotName
    release_number: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A bundle entered a state."""

    at: dt.datetime
    model: str
    slot: SlotName
    release_number: int
    bundle_digest: str
    state: State
    error: str | None = None

    @property
    def key(self) -> SlotKey:
        """The slot in which it happened."""
        return SlotKey(self.model, self.slot, self.release_number)


def allow(current: State | None, next_state: State) -> None:
    """Check a transition against the table; ``None`` is the state before `new`.

    Raises
    ------
    ValueError
        If the table has no such transition; the message names both states.
    """
    allowed = {"new"} if current is None else TRANSITIONS[current]
    if next_state not in allowed:
        raise ValueError(f"Expected one of {sorted(allowed)} after {current!r}, got {next_state!r}")


class Journal:
    """The state of each slot and the latest transitions of each model.

    One thread writes at a time; any thread may read, because readable values are replaced and never changed.

    Parameters
    ----------
    on_transition
        Called with every transition, on the writing thread; exceptions are logged and suppressed.
    """

    def __init__(self, on_transition: Callable[[Transition], None] | None = None) -> None:
        self._on_transition = on_transition
        self._current: Mapping[SlotKey, Transition] = MappingProxyType({})
        self._events: Mapping[str, tuple[Transition, ...]] = MappingProxyType({})

    @property
    def current(self) -> Mapping[SlotKey, Transition]:
        """The last transition, and so the state, of each slot that is not forgotten."""
        return self._current

    @property
    def events(self) -> Mapping[str, tuple[Transition, ...]]:
        """The latest transitions by model, oldest first; at most `EVENTS_KEPT` of each."""
        return self._events

    def enter(self, key: SlotKey, bundle_digest: str, state: State, error: str | None = None) -> None:
        """Record that a bundle entered a state; raises `ValueError` as `allow`."""
        previous = self._current.get(key)
        allow(previous.state if previous else None, state)
        transition = Transition(dt.datetime.now(dt.UTC), *key, bundle_digest, state, error)
        self._current = MappingProxyType({**self._current, key: transition})
        events = (*self._events.get(key.model, ()), transition)[-EVENTS_KEPT:]
        self._events = MappingProxyType({**self._events, key.model: events})
        _log(transition)
        if self._on_transition is None:
            return
        try:
            self._on_transition(transition)
        except Exception:
            logger.exception("the observer of transitions failed")

    def forget(self, *keys: SlotKey) -> None:
        """Drop slots; their events stay."""
        self._current = MappingProxyType({key: last for key, last in self._current.items() if key not in keys})

    def of_model(self, model: str, *states: State) -> tuple[Transition, ...]:
        """The last transitions of a model's slots, optionally only those in `states`; by release, then slot."""
        matching = [
            last for last in self._current.values() if last.model == model and (not states or last.state in states)
        ]
        return tuple(sorted(matching, key=lambda last: (last.release_number, last.slot)))


def _log(transition: Transition) -> None:
    level = logging.ERROR if transition.state == "failed" else logging.INFO
    logger.log(
        level,
        "%s, %s of release %d: %s, bundle %s%s",
        transition.model,
        transition.slot,
        transition.release_number,
        transition.state,
        transition.bundle_digest,
        f": {transition.error}" if transition.error else "",
    )
