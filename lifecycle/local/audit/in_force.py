"""Which release was in force at the moment of a decision, and before and after it."""

from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.local.audit.checks import Check, failed, passed, unknown
from lifecycle.local.audit.documents import InForce, ReleaseFile
from serving.artefacts.release_rules import slots_of
from serving.artefacts.releases import file_name, open_envelope, open_release, read_releases
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, DecisionRecord, Freeze, SignedRelease, decode, digest

RELEASE = "release"
IN_FORCE = "in force"


class History:
    """The releases of one model whose signatures verify, and the faults of the files, by number."""

    def __init__(self, store: Path, model: str, keys: PublicKeys) -> None:
        self.files: dict[int, ReleaseFile] = {}
        self.faults: dict[int, str] = {}
        try:
            contents = read_releases(store, model)
        except ContractError as error:
            raise LifecycleError(str(error)) from error
        for number, content in sorted(contents.items()):
            where = f"release {number} of {model}"
            try:
                release = open_release(content, model, keys, where)
                signed_by = decode(content, SignedRelease, where).key_id
            except ContractError as error:
                self.faults[number] = str(error)
                continue
            if release.number != number:
                self.faults[number] = f"Expected release {number}, got release {release.number} - at {where}"
                continue
            before = digest(contents[number - 1]) if number - 1 in contents else None
            if release.predecessor != before:
                self.faults[number] = f"it does not follow the file of release {number - 1} - at {where}"
            self.files[number] = ReleaseFile(digest=digest(content), signed_by=signed_by, release=release)

    def around(self, record: DecisionRecord, freeze: Freeze | None) -> InForce:
        """The release that a record names, and its neighbours."""
        number = record.release_number or 0
        return InForce(
            served=self.files.get(number),
            before=self.files.get(number - 1),
            after=self.files.get(number + 1),
            freeze=freeze,
        )

    def checks(self, record: DecisionRecord) -> list[Check]:
        """Whether the release that a record names exists, has the record's bundle in its slot, and was in force."""
        number = record.release_number
        if number is None:
            return [unknown(RELEASE, "the record names no release")]
        if number not in self.files:
            missing = f"release {number} of {record.model} is not in the release store"
            return [failed(RELEASE, self.faults.get(number, missing))]
        if number in self.faults:
            return [failed(RELEASE, self.faults[number])]
        served = self.files[number]
        slots = {slot: filled.bundle_digest for slot, filled in slots_of(served.release)}
        if slots.get(record.slot) != record.bundle_digest:
            return [
                failed(RELEASE, f"release {number} has another bundle as {record.slot} than the record of the decision")
            ]
        signed = passed(RELEASE, f"signed by key {served.signed_by}; its {record.slot} is the bundle that decided")
        return [signed, self._in_force(record, number)]

    def _in_force(self, record: DecisionRecord, number: int) -> Check:
        """Whether the release was the newest one in the store at the decision's time; servers follow within seconds."""
        made = [one.release for one in self.files.values() if one.release.released_at <= record.decided_at]
        newest = made[-1].number if made else None
        if newest == number:
            return passed(IN_FORCE, f"release {number} was the newest release when it decided")
        if newest is None or newest < number:
            return unknown(IN_FORCE, f"the record is older than release {number}: the clocks of two machines differ")
        following = next(release for release in made if release.number > number)
        late = (record.decided_at - following.released_at).total_seconds()
        return passed(
            IN_FORCE,
            f"the server still had release {number}, {late:,.3f} s after release {following.number}; release {newest} "
            "was the newest one in the store",
        )


def freeze_at(store: Path, record: DecisionRecord, keys: PublicKeys) -> Freeze | None:
    """The freeze of promotion that was in force at a decision's time, ``None`` without one.

    Raises
    ------
    LifecycleError
        If a turn of the switch cannot be read or does not verify.
    """
    folder, last = store / "freezes", None
    for number in sorted(int(path.stem) for path in folder.glob("[0-9]*.json")):
        path = folder / file_name(number)
        try:
            turn = open_envelope(path.read_bytes(), Freeze, keys, str(path))
        except (ContractError, OSError) as error:
            raise LifecycleError(str(error)) from error
        if turn.changed_at > record.decided_at:
            break
        last = turn
    return last if last is not None and last.is_frozen else None
