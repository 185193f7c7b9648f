"""The switch that stops all promotion: a signed, numbered, append-only record of its turns."""

import datetime as dt
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.against_switches import expect_turns, last_recorded_turn
from lifecycle.releases.ledger.announcing import announced, settle_order
from lifecycle.releases.ledger.events import freeze_turned
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.records import LedgerError
from lifecycle.releases.signed_files import create_signed
from lifecycle.signing.keys import Keys
from serving.artefacts.releases import file_name, open_envelope
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import SCHEMA_VERSION, ContractError, Freeze


class FreezeSwitch:
    """The turns in ``freezes/000001.json`` and so on below `root`; the last one is the state."""

    def __init__(self, root: Path, keys: Keys, ledger: Ledger) -> None:
        self._folder = root / "freezes"
        self._keys = keys
        self._ledger = ledger

    def state(self) -> Freeze | None:
        """The last turn, ``None`` if it was never turned.

        Raises
        ------
        LifecycleError
            If it cannot be read or its signature does not verify, or if its turns are not those of the ledger: such a
            switch must not count as off.
        """
        return last_turn(self._folder.parent, self._keys.public_keys)

    def turn(self, *, is_frozen: bool, by: str, reason: str) -> Freeze:
        """Turn it; raises `LifecycleError` if it is in that state already, or on a concurrent turn.

        The ledger records the turn first, and its file afterwards. A freeze does not need a usable ledger.
        """
        state = _newest_file(self._folder.parent, self._keys.public_keys) if is_frozen else self.state()
        if state is not None:
            self._settle(state)
        if (state is not None and state.is_frozen) == is_frozen:
            raise LifecycleError(
                f"Expected promotion to be {'allowed' if is_frozen else 'frozen'}, {_described(state)}"
            )
        freeze = Freeze(
            schema_version=SCHEMA_VERSION,
            number=max(state.number if state else 0, self._recorded()) + 1,
            is_frozen=is_frozen,
            changed_at=dt.datetime.now(dt.UTC),
            changed_by=by,
            reason=reason,
        )
        path = self._folder / file_name(freeze.number)
        event = freeze_turned(freeze.number, by, is_frozen=is_frozen)
        with announced(self._ledger, event, path, is_required=not is_frozen):
            if not create_signed(path, freeze, self._keys, "freeze"):
                raise LifecycleError(
                    "Expected to turn the switch alone, but it was turned concurrently; run the command again"
                )
        return freeze

    def _recorded(self) -> int:
        """Number of the last turn in the ledger: one whose file was removed keeps its number, so that it is missed."""
        try:
            return last_recorded_turn(self._folder.parent)
        except LedgerError:  # a freeze goes on without it
            return 0

    def _settle(self, state: Freeze) -> None:
        """Record the file of the last turn if its command was killed before it did."""
        event = freeze_turned(state.number, state.changed_by, is_frozen=state.is_frozen)
        settle_order(self._ledger, self._folder.parent, event, self._folder / file_name(state.number))

    def refuse_if_frozen(self, model: str) -> None:
        """Raise `LifecycleError` if promotion is frozen, with the person, the time and the reason."""
        state = self.state()
        if state is not None and state.is_frozen:
            raise LifecycleError(
                f"Expected promotion to be allowed, {_described(state)}; `lifecycle unfreeze` allows it again "
                f"- at the promotion of {model}"
            )


def last_turn(root: Path, keys: PublicKeys) -> Freeze | None:
    """The last turn of the switch of the release store `root`; raises as `FreezeSwitch.state`."""
    expect_turns(root, keys)
    return _newest_file(root, keys)


def _newest_file(root: Path, keys: PublicKeys) -> Freeze | None:
    folder = root / "freezes"
    numbers = sorted(int(path.stem) for path in folder.glob("[0-9]*.json"))
    if not numbers:
        return None
    path = folder / file_name(numbers[-1])
    try:
        turn = open_envelope(path.read_bytes(), Freeze, keys, f"{path}")
        if turn.number != numbers[-1]:
            raise ContractError(f"Expected turn {numbers[-1]} of the switch, got turn {turn.number} - at {path}")
        return turn
    except (ContractError, OSError) as error:
        raise LifecycleError(str(error)) from error


def _described(state: Freeze | None) -> str:
    if state is None:
        return "but the switch was never turned"
    turned = "froze" if state.is_frozen else "unfroze"
    return f"but {state.changed_by} {turned} it at {state.changed_at:%Y-%m-%d %H:%M} UTC: {state.reason}"
