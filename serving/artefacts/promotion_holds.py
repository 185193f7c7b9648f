"""The rollbacks that hold automatic promotion, as the release store shows them; nothing is served by them."""

from serving.artefacts.releases import Reader, StoreError, VerifiedRelease, is_resumed, open_release
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, Release, digest


class PromotionHolds:
    """The hold of each model, found in the chain of its releases; only new releases are read again."""

    def __init__(self, reader: Reader, keys: PublicKeys) -> None:
        self._reader = reader
        self._keys = keys
        self._last: dict[str, tuple[VerifiedRelease, Release | None]] = {}

    def of(self, newest: VerifiedRelease) -> Release | None:
        """The rollback that holds the model of its newest release; ``None`` without one, or if a person resumed.

        An order to resume that does not verify ends no hold.

        Raises
        ------
        ContractError
            If a release cannot be read or does not verify, or the chain is broken (`StoreError` if the store fails).
        """
        rollback = self._last_rollback(newest)
        if rollback is None:
            return None
        where = f"the end of the hold of release {rollback.number} of {rollback.model}"
        try:
            content = self._reader.resume(rollback.model, rollback.number)
            return None if is_resumed(content, rollback, self._keys, where) else rollback
        except StoreError:
            raise
        except ContractError:
            return rollback

    def _last_rollback(self, newest: VerifiedRelease) -> Release | None:
        model = newest.release.model
        known, rollback = self._last.get(model, (None, None))
        release, content = newest.release, newest.content
        while known is None or digest(content) != known.digest:
            if release.restores is not None or release.number == 1:
                rollback = release if release.restores is not None else None
                break
            content = self._reader.release(model, release.number - 1)
            where = f"release {release.number - 1} of {model}"
            if digest(content) != release.predecessor:
                raise ContractError(f"Expected predecessor {release.predecessor}, got {digest(content)} - at {where}")
            release = open_release(content, model, self._keys, where)
        self._last[model] = (newest, rollback)
        return rollback
