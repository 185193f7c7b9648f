"""What stops promotion in a release store: the freeze of every model, and the hold of a model that was rolled back."""

from collections.abc import Sequence
from pathlib import Path

from lifecycle.releases.freeze_switch import FreezeSwitch
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.promotion_hold import PromotionHold
from lifecycle.signing.keys import Keys
from serving.contract.documents import Freeze, Release, Resume


class PromotionSwitches:
    """The freeze switch and the holds of all models; each method reads the files again.

    Parameters
    ----------
    root
        The release store.
    keys
        Signs the turns, and verifies those that are read.
    ledger
        Records each turn before it is written.
    """

    def __init__(self, root: Path, keys: Keys, ledger: Ledger) -> None:
        self._freeze = FreezeSwitch(root, keys, ledger)
        self._hold = PromotionHold(root, keys, ledger)

    def freeze(self, *, by: str, reason: str) -> Freeze:
        """Stop promotion of every model until `unfreeze`; raises `LifecycleError` if it is already frozen."""
        return self._freeze.turn(is_frozen=True, by=by, reason=reason)

    def unfreeze(self, *, by: str, reason: str) -> Freeze:
        """Allow promotion again; raises `LifecycleError` if it is not frozen."""
        return self._freeze.turn(is_frozen=False, by=by, reason=reason)

    def last_turn(self) -> Freeze | None:
        """The last turn of the freeze switch, ``None`` if it was never turned.

        Raises
        ------
        LifecycleError
            If it cannot be read or its signature does not verify.
        """
        return self._freeze.state()

    def freeze_in_force(self) -> Freeze | None:
        """The turn that froze promotion, ``None`` while it is allowed; raises as `last_turn`."""
        state = self.last_turn()
        return state if state is not None and state.is_frozen else None

    def refuse_if_frozen(self, model: str) -> None:
        """Raise `LifecycleError` if promotion is frozen, with the person, the time and the reason."""
        self._freeze.refuse_if_frozen(model)

    def hold(self, history: Sequence[Release]) -> Release | None:
        """The rollback that holds automatic promotion of a model; ``None`` if there was none or a person resumed.

        Parameters
        ----------
        history
            All releases of the model, verified (`ReleaseStore.history`).

        Raises
        ------
        LifecycleError
            If the order to resume cannot be read or does not verify.
        """
        return self._hold.in_force(history)

    def resume(self, model: str, history: Sequence[Release], *, by: str, reason: str) -> Resume:
        """Allow automatic promotion of a model again; raises `LifecycleError` if no rollback holds it."""
        return self._hold.resume(model, history, by=by, reason=reason)
