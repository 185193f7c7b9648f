"""The states that a bundle goes through in a slot, and the journal of who went when."""

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
"""`new` to `ready`: the bundle is loaded already, in some slot of the release that serves. `ready` to `failed`: another
slot of the same release failed, and a release is served whole or not at all. `failed` to `new`: tried again. After
`retiring` the bundle is forgotten, once the last request that began with it has ended."""

EVENTS_KEPT: Final = 64
"""For each model: some ten releases with three slots."""

logger = logging.getLogger(__name__)


class SlotKey(NamedTuple):
    """A slot of one release of a model; a bundle stands in it."""

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
    def place(self) -> SlotKey:
        """Where it happened."""
        return SlotKey(self.model, self.slot, self.release_number)


def allow(before: State | None, after: State) -> None:
    """Check a transition against the table; ``None`` stands before `new`.

    Raises
    ------
    ValueError
        If the table has no such transition; names both states.
    """
    allowed = {"new"} if before is None else TRANSITIONS[before]
    if after not in allowed:
        raise ValueError(f"Expected one of {sorted(allowed)} after {before!r}, got {after!r}")


class Journal:
    """The state of each place and the latest transitions of each model.

    One thread writes at a time; any thread reads, since everything readable is replaced and never changed.

    Parameters
    ----------
    on_transition
        Told of every transition, on the writing thread; what it raises is logged and goes no further.
    """

    def __init__(self, on_transition: Callable[[Transition], None] | None = None) -> None:
        self._on_transition = on_transition
        self._current: Mapping[SlotKey, Transition] = MappingProxyType({})
        self._events: Mapping[str, tuple[Transition, ...]] = MappingProxyType({})

    @property
    def current(self) -> Mapping[SlotKey, Transition]:
        """The last transition of each place that is not forgotten: the state it is in."""
        return self._current

    @property
    def events(self) -> Mapping[str, tuple[Transition, ...]]:
        """The latest transitions by model, oldest first; at most `EVENTS_KEPT` of each."""
        return self._events

    def enter(self, place: SlotKey, bundle_digest: str, state: State, error: str | None = None) -> None:
        """Write down that a bundle entered a state; raises `ValueError` as `allow`."""
        before = self._current.get(place)
        allow(before.state if before else None, state)
        transition = Transition(dt.datetime.now(dt.UTC), *place, bundle_digest, state, error)
        self._current = MappingProxyType({**self._current, place: transition})
        events = (*self._events.get(place.model, ()), transition)[-EVENTS_KEPT:]
        self._events = MappingProxyType({**self._events, place.model: events})
        _say(transition)
        if self._on_transition is None:
            return
        try:
            self._on_transition(transition)
        except Exception:
            logger.exception("the observer of transitions failed")

    def forget(self, *places: SlotKey) -> None:
        """Drop places; their events stay."""
        self._current = MappingProxyType({at: last for at, last in self._current.items() if at not in places})

    def of_model(self, model: str, *states: State) -> tuple[Transition, ...]:
        """The current states of a model's places, or those among `states`; by release, then slot."""
        found = [
            last for at, last in self._current.items() if at.model == model and (not states or last.state in states)
        ]
        return tuple(sorted(found, key=lambda last: (last.release_number, last.slot)))


def _say(transition: Transition) -> None:
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
