"""Progress of a demonstration, from which a second start resumes."""

import datetime as dt
from pathlib import Path

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.local.demo.timeline import Timeline, timeline
from lifecycle.spec.risk_model import RiskModelSpec
from serving.storage.durable import write_file

STATE_FILE = "demo.json"


class DemoState(msgspec.Struct):
    """Contents of ``demo.json``; a step is recorded once it is done, and is idempotent until then."""

    first_started: dt.date
    seed: int
    target: str = "duckdb"
    done: list[str] = []
    replayed_until: dt.date | None = None
    monitored_until: dt.date | None = None
    alarmed_as_of: dt.date | None = None
    retrained_as_of: dt.date | None = None
    released_from: dt.date | None = None
    """First live day that only the retrained model decided."""
    requests_sent: int = 0
    requests_failed: int = 0
    reload_requests_sent: int = 0
    reload_requests_failed: int = 0


class StateFile:
    """The state of one installation's demonstration."""

    def __init__(self, root: Path) -> None:
        self._path = root / STATE_FILE

    def open(self, seed: int, today: dt.date, target: str) -> DemoState:
        """The recorded state, or a new one that is written at once.

        Raises
        ------
        LifecycleError
            If the file cannot be read, or belongs to a demonstration on another warehouse.
        """
        if not self._path.exists():
            state = DemoState(first_started=today, seed=seed, target=target)
            self.keep(state)
            return state
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=DemoState)
        except msgspec.DecodeError as error:
            raise LifecycleError(f"Expected the state of a demonstration, got: {error} - in {self._path}") from error
        if state.target != target:
            raise LifecycleError(
                f"Expected a demonstration on {target}, got one on {state.target} - in {self._path}; continue with "
                f"--target {state.target}, or set LIFECYCLE_HOME to another folder"
            )
        return state

    def keep(self, state: DemoState) -> None:
        """Write the state."""
        write_file(self._path, msgspec.json.format(msgspec.json.encode(state), indent=2))


def timeline_of(state: DemoState, spec: RiskModelSpec) -> Timeline:
    """The days of this demonstration, fixed at its first start."""
    return timeline(spec, state.first_started)
