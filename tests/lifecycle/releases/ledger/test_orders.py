"""Freezes, their ends and resumes are compared with the records that announced them and that they were written."""

import datetime as dt
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.events import freeze_turned, promotion_resumed
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import Record
from lifecycle.releases.ledger.verify import Verification, verify_ledger
from lifecycle.releases.signed_files import create_signed
from lifecycle.releases.store import ReleaseStore
from lifecycle.signing.envelope import signed_envelope
from serving.contract.documents import Freeze, Resume
from tests.harness.ledger_files import LedgerFiles
from tests.harness.small_models import MODEL, SmallStore

TURNS = ("freezes/000001.json", "freezes/000002.json", "freezes/000003.json")
RESUME = f"resumes/{MODEL}/000003.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    """A store that was rolled back, resumed, frozen, unfrozen and frozen again."""
    store = SmallStore.under(tmp_path_factory.mktemp("whole") / "home")
    store.releases.publish(MODEL, store.seal(1), by="ana", reason="first")
    store.releases.publish(MODEL, store.seal(2), by="ana", reason="second")
    store.releases.rollback(MODEL, by="ana", reason="worse")
    switches = store.releases.switches
    switches.resume(MODEL, store.releases.history(MODEL), by="ana", reason="fixed")
    switches.freeze(by="ana", reason="audit")
    switches.unfreeze(by="ben", reason="over")
    switches.freeze(by="ana", reason="audit")
    return store


@pytest.fixture
def store(whole: SmallStore, tmp_path: Path) -> SmallStore:
    """A copy of `whole`."""
    shutil.copytree(whole.settings.home, tmp_path / "home")
    return SmallStore.under(tmp_path / "home")


@pytest.fixture
def earlier(whole: SmallStore, tmp_path: Path) -> SmallStore:
    """The same store as an earlier version of the platform wrote it, whose records announce orders only."""
    shutil.copytree(whole.settings.home, tmp_path / "earlier")
    store = SmallStore.under(tmp_path / "earlier")
    files = LedgerFiles(store.settings.release_store)
    del files.records[7:], files.checkpoints[7:]
    files.write()
    announcements = [
        promotion_resumed(MODEL, 3, "ana"),
        freeze_turned(1, "ana", is_frozen=True),
        freeze_turned(2, "ben", is_frozen=False),
        freeze_turned(3, "ana", is_frozen=True),
    ]
    for announcement in announcements:
        store.releases.ledger.append(announcement)
    return store


def path_of(store: SmallStore, name: str) -> Path:
    return store.settings.release_store / name


def verified(store: SmallStore) -> Verification:
    root, keys = store.settings.release_store, store.keys.public_keys
    return with_releases(verify_ledger(root, keys), root, keys)


def orders(store: SmallStore) -> list[Record]:
    """The records of orders."""
    records = read_records(store.settings.release_store)
    return [record for record in records if record.kind in {"resume", "freeze", "unfreeze"}]


def turn(number: int, by: str, *, is_frozen: bool) -> Freeze:
    """A turn of the switch with other times and reasons than those of `whole`."""
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    return Freeze(
        schema_version=1, number=number, is_frozen=is_frozen, changed_at=now, changed_by=by, reason="another reason"
    )


def flip_turn(store: SmallStore) -> None:
    path = path_of(store, TURNS[1])
    path.write_bytes(path.read_bytes().replace(b"over", b"ower"))


def remove_last_turn(store: SmallStore) -> None:
    path_of(store, TURNS[2]).unlink()


def remove_first_turn(store: SmallStore) -> None:
    path_of(store, TURNS[0]).unlink()


def remove_all_turns(store: SmallStore) -> None:
    shutil.rmtree(path_of(store, "freezes"))


def swap_turns(store: SmallStore) -> None:
    first, second = path_of(store, TURNS[0]), path_of(store, TURNS[1])
    before = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(before)


def repeat_turn(store: SmallStore) -> None:
    """The end of an earlier freeze, copied to the place of the next turn."""
    shutil.copy(path_of(store, TURNS[1]), path_of(store, "freezes/000004.json"))


def resign_turn(store: SmallStore) -> None:
    """As somebody does who has the signing key: the freeze that is in force is one of somebody else."""
    path_of(store, TURNS[2]).write_bytes(signed_envelope(turn(3, "eve", is_frozen=True), store.keys))


def turn_over(store: SmallStore) -> None:
    """As somebody does who has the signing key: the freeze that is in force is none."""
    path_of(store, TURNS[2]).write_bytes(signed_envelope(turn(3, "ana", is_frozen=False), store.keys))


def add_turn(store: SmallStore) -> None:
    """As somebody does who has the signing key: an end of the freeze without a record."""
    path_of(store, "freezes/000004.json").write_bytes(signed_envelope(turn(4, "ana", is_frozen=False), store.keys))


def foreign_turn(store: SmallStore) -> None:
    other = SmallStore.under(store.settings.home.with_name("foreign"))
    path_of(store, TURNS[2]).write_bytes(signed_envelope(turn(3, "ana", is_frozen=True), other.keys))


def truncate_turn(store: SmallStore) -> None:
    path_of(store, TURNS[2]).write_bytes(b"")


def add_file(store: SmallStore) -> None:
    path_of(store, "freezes/000004.txt").write_bytes(b"{}")


def flip_resume(store: SmallStore) -> None:
    path = path_of(store, RESUME)
    path.write_bytes(path.read_bytes().replace(b"fixed", b"fixxd"))


def remove_resume(store: SmallStore) -> None:
    path_of(store, RESUME).unlink()


def resign_resume(store: SmallStore) -> None:
    path_of(store, RESUME).write_bytes(signed_envelope(resume(3, "eve"), store.keys))


def add_resume(store: SmallStore) -> None:
    path_of(store, f"resumes/{MODEL}/000004.json").write_bytes(signed_envelope(resume(4, "ana"), store.keys))


def move_resume(store: SmallStore) -> None:
    """The order of one release, copied for another one."""
    shutil.copy(path_of(store, RESUME), path_of(store, f"resumes/{MODEL}/000004.json"))


def resume(release_number: int, by: str) -> Resume:
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    return Resume(
        schema_version=1, model=MODEL, release_number=release_number, resumed_at=now, resumed_by=by, reason="another"
    )


DAMAGE: list[tuple[Callable[[SmallStore], None], str, str]] = [
    (flip_turn, "other_order", "changed after they were signed - at freezes/000002.json"),
    (remove_last_turn, "missing_order", "freezes/000003.json, which was written, is not in the store"),
    (remove_first_turn, "missing_order", "freezes/000001.json, which was written, is not in the store"),
    (remove_all_turns, "missing_order", "freezes/000001.json"),
    (swap_turns, "other_order", "Expected the order freezes/000001.json, got freezes/000002.json"),
    (repeat_turn, "other_order", "Expected the order freezes/000004.json, got freezes/000002.json"),
    (resign_turn, "other_order", "freezes/000003.json is not"),
    (turn_over, "other_order", "freezes/000003.json is not"),
    (add_turn, "other_order", "freezes/000004.json is not as a record announced it"),
    (foreign_turn, "other_order", "got key"),
    (truncate_turn, "other_order", "freezes/000003.json"),
    (add_file, "other_order", "freezes/000004.txt"),
    (flip_resume, "other_order", f"changed after they were signed - at {RESUME}"),
    (remove_resume, "missing_order", f"{RESUME}, which was written, is not in the store"),
    (resign_resume, "other_order", f"{RESUME} is not"),
    (add_resume, "other_order", f"resumes/{MODEL}/000004.json is not as a record announced it"),
    (move_resume, "other_order", f"Expected the order resumes/{MODEL}/000004.json, got {RESUME}"),
]
ONLY_A_NOTICE = {remove_last_turn, remove_resume, remove_all_turns}
"""Damage that looks, without the record of the file, as a command that was killed before it wrote the order."""


@pytest.mark.parametrize(("damage", "name", "message"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_found_by_name(
    store: SmallStore, damage: Callable[[SmallStore], None], name: str, message: str
) -> None:
    assert (verified(store).problems, verified(store).notices) == ((), ())
    damage(store)
    first = verified(store).problems[0]
    assert (first.damage, first.sequence) == (name, None)
    assert message in first.message


@pytest.mark.parametrize(("damage", "name", "message"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_an_earlier_version_s_announcements_show_the_same_damage(
    earlier: SmallStore, damage: Callable[[SmallStore], None], name: str, message: str
) -> None:
    assert (verified(earlier).problems, verified(earlier).notices) == ((), ())
    damage(earlier)
    verification = verified(earlier)
    if damage in ONLY_A_NOTICE:
        assert verification.problems == ()
        assert "which was not written: the command was killed or failed" in verification.notices[-1]
        return
    assert verification.problems[0].damage == name
    assert message in verification.problems[0].message


def test_the_next_turn_records_the_file_of_an_earlier_version_s(earlier: SmallStore) -> None:
    earlier.releases.switches.unfreeze(by="ben", reason="over")
    told = [(record.kind, record.facts.get("is_written", False)) for record in orders(earlier)[-3:]]
    assert told == [("freeze", True), ("unfreeze", False), ("unfreeze", True)]
    assert (verified(earlier).problems, verified(earlier).notices) == ((), ())


def test_orders_of_before_the_ledger_are_compared_with_its_genesis(store: SmallStore, tmp_path: Path) -> None:
    other = SmallStore.under(tmp_path / "without")
    root = other.settings.release_store
    for number in (1, 2):
        create_signed(root / TURNS[number - 1], turn(number, "ana", is_frozen=number == 1), other.keys, "freeze")
    other.releases.publish(MODEL, other.seal(1), by="ana", reason="first")
    assert (verified(other).problems, verified(other).notices) == ((), ())
    path_of(other, TURNS[0]).write_bytes(signed_envelope(turn(1, "eve", is_frozen=True), other.keys))
    assert verified(other).problems[0].message == f"{TURNS[0]} is not the file that the ledger recorded"


def test_a_freeze_without_a_usable_ledger_is_a_notice_until_the_next_turn(
    store: SmallStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.releases.switches.unfreeze(by="ana", reason="over")
    ledger = store.settings.release_store / "ledger"
    ledger.rename(ledger.with_name("kept"))
    with caplog.at_level(logging.ERROR):
        ReleaseStore(store.settings.release_store, store.keys).switches.freeze(by="ana", reason="no ledger")
    assert "Not recorded in the ledger: freeze" in caplog.text
    shutil.rmtree(ledger)
    ledger.with_name("kept").rename(ledger)
    assert verified(store).problems == ()
    [notice] = verified(store).notices
    assert notice.startswith("freezes/000005.json, a freeze, was written while the ledger could not be used")
    ReleaseStore(store.settings.release_store, store.keys).switches.unfreeze(by="ana", reason="over")
    assert (verified(store).problems, verified(store).notices) == ((), ())


def test_a_repeated_command_records_the_order_that_a_killed_one_wrote(earlier: SmallStore) -> None:
    switches, history = earlier.releases.switches, earlier.releases.history(MODEL)
    for _ in range(2):
        with pytest.raises(LifecycleError, match="Expected a rollback"):
            switches.resume(MODEL, history, by="ana", reason="fixed")
        with pytest.raises(LifecycleError, match="Expected promotion to be allowed"):
            switches.freeze(by="ana", reason="audit")
    written = [record.kind for record in orders(earlier) if record.facts.get("is_written")]
    assert written == ["resume", "freeze"]
    remove_last_turn(earlier)
    assert verified(earlier).problems[0].damage == "missing_order"


def test_a_changed_file_is_not_recorded_by_the_next_command(store: SmallStore) -> None:
    resign_turn(store)
    with pytest.raises(LifecycleError, match="Expected promotion to be allowed"):
        store.releases.switches.freeze(by="ana", reason="again")
    assert verified(store).problems[0].message == f"{TURNS[2]} is not the file that the ledger recorded"


FREEZE_DAMAGE = [row for row in DAMAGE if "resume" not in row[0].__name__]


@pytest.mark.parametrize(("damage", "name", "message"), FREEZE_DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_switch_does_not_count_as_off(
    store: SmallStore, damage: Callable[[SmallStore], None], name: str, message: str
) -> None:
    bundle = store.seal(4)
    damage(store)
    for refused in (
        store.releases.switches.freeze_in_force,
        lambda: store.releases.publish(MODEL, bundle, by="ana", reason="fourth"),
        lambda: store.releases.switches.unfreeze(by="ana", reason="over"),
    ):
        with pytest.raises(LifecycleError, match="turns of the freeze switch that the ledger recorded") as raised:
            refused()
        assert message in str(raised.value)
    assert len(store.releases.history(MODEL)) == 3


def test_promotion_can_be_frozen_again_after_the_last_freeze_was_removed(store: SmallStore, whole: SmallStore) -> None:
    remove_last_turn(store)
    assert store.releases.switches.freeze(by="ana", reason="again").number == 4
    removed = r"freezes/000003\.json, which was written, is not in the store"
    with pytest.raises(LifecycleError, match=removed):
        store.releases.publish(MODEL, store.seal(4), by="ana", reason="fourth")
    assert verified(store).problems[0].damage == "missing_order"
    shutil.copy(whole.settings.release_store / TURNS[2], path_of(store, TURNS[2]))
    assert verified(store).problems == ()
    store.releases.switches.unfreeze(by="ana", reason="restored")


def test_a_removed_resume_holds_its_model_again(store: SmallStore) -> None:
    history = store.releases.history(MODEL)
    assert store.releases.switches.hold(history) is None
    remove_resume(store)
    assert store.releases.switches.hold(history) == history[-1]


def test_a_turn_that_was_copied_to_the_next_number_turns_nothing(store: SmallStore) -> None:
    repeat_turn(store)
    with pytest.raises(LifecycleError, match=r"Expected the order freezes/000004\.json, got freezes/000002\.json"):
        store.releases.switches.freeze_in_force()
