"""Every kind of damage to a ledger's files is found by its name and its first record, with the public key only."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.records import LedgerError
from lifecycle.releases.ledger.verify import Problem, verify_ledger
from lifecycle.signing.keys import Keys
from tests.harness.ledger_files import RECORDS, LedgerFiles, filled_ledger, flipped
from tests.harness.ledger_process import event
from tests.harness.small_models import SmallStore

Damage = Callable[[LedgerFiles, Keys], None]


@pytest.fixture
def release_store(store: SmallStore) -> Path:
    return filled_ledger(store)


@pytest.fixture
def foreign(tmp_path: Path) -> Keys:
    """Keys of another installation."""
    return SmallStore.under(tmp_path / "foreign").keys


def flip_fact(files: LedgerFiles, _: Keys) -> None:
    files.records[3] = files.records[3].replace(b"2026-01-01", b"2026-01-02")


def flip_hash(files: LedgerFiles, _: Keys) -> None:
    files.records[3] = flipped(files.records[3], 5)


def rewrite(files: LedgerFiles, _: Keys) -> None:
    files.records[3] = files.forged(4, "other_model")


def rewrite_and_chain(files: LedgerFiles, _: Keys) -> None:
    files.records[3] = files.forged(4, "other_model")
    files.chain(5)


def rewrite_last(files: LedgerFiles, _: Keys) -> None:
    files.records[-1] = files.forged(RECORDS, "other_model")


def delete(files: LedgerFiles, _: Keys) -> None:
    del files.records[3]


def delete_two(files: LedgerFiles, _: Keys) -> None:
    del files.records[3:5]


def delete_first(files: LedgerFiles, _: Keys) -> None:
    del files.records[0]


def delete_with_checkpoint(files: LedgerFiles, _: Keys) -> None:
    del files.records[3]
    del files.checkpoints[3]


def delete_and_chain(files: LedgerFiles, _: Keys) -> None:
    del files.records[3]
    files.chain(4)


def insert_copy(files: LedgerFiles, _: Keys) -> None:
    files.records.insert(3, files.records[5])


def insert_forged(files: LedgerFiles, _: Keys) -> None:
    files.records.insert(3, files.forged(4, "other_model"))


def insert_and_chain(files: LedgerFiles, _: Keys) -> None:
    files.records.insert(3, files.forged(4, "other_model"))
    files.chain(5)


def append_unsigned(files: LedgerFiles, _: Keys) -> None:
    files.records += files.records[-2:]
    files.chain(RECORDS)


def insert_line(files: LedgerFiles, _: Keys) -> None:
    files.records.insert(3, b"\n")


def swap(files: LedgerFiles, _: Keys) -> None:
    files.records[3], files.records[5] = files.records[5], files.records[3]


def swap_and_chain(files: LedgerFiles, _: Keys) -> None:
    swap(files, _)
    files.chain(1)


def truncate(files: LedgerFiles, _: Keys) -> None:
    del files.records[-1]


def truncate_three(files: LedgerFiles, _: Keys) -> None:
    del files.records[-3:]


def truncate_all(files: LedgerFiles, _: Keys) -> None:
    files.records.clear()


def truncate_within_a_line(files: LedgerFiles, _: Keys) -> None:
    files.records[-1] = files.records[-1][:40]


def remove_checkpoints(files: LedgerFiles, _: Keys) -> None:
    files.checkpoints.clear()


def remove_two_checkpoints(files: LedgerFiles, _: Keys) -> None:
    del files.checkpoints[-2:]


def remove_inner_checkpoint(files: LedgerFiles, _: Keys) -> None:
    del files.checkpoints[3]


def swap_checkpoints(files: LedgerFiles, _: Keys) -> None:
    files.checkpoints[3], files.checkpoints[5] = files.checkpoints[5], files.checkpoints[3]


def repeat_checkpoint(files: LedgerFiles, _: Keys) -> None:
    files.checkpoints.insert(3, files.checkpoints[2])


def change_root(files: LedgerFiles, _: Keys) -> None:
    first, second = files.checkpoints[3].split(b"\\n", 3)[2], files.checkpoints[4].split(b"\\n", 3)[2]
    files.checkpoints[3] = files.checkpoints[3].replace(first, second)


def change_signature(files: LedgerFiles, _: Keys) -> None:
    files.checkpoints[3] = files.checkpoints[3][:-20] + b"AAAA" + files.checkpoints[3][-16:]


def change_spare_bits(files: LedgerFiles, _: Keys) -> None:
    end = files.checkpoints[3].rindex(b"=")
    files.checkpoints[3] = flipped(files.checkpoints[3], end - 1)


def add_signature(files: LedgerFiles, _: Keys) -> None:
    files.checkpoints[3] = files.checkpoints[3][:-2] + '\N{EM DASH} other AAAAAAAA\\n"\n'.encode()


def resign(files: LedgerFiles, foreign: Keys) -> None:
    files.sign(foreign)


def rewrite_and_resign(files: LedgerFiles, foreign: Keys) -> None:
    rewrite_and_chain(files, foreign)
    files.sign(foreign)


def resign_last(files: LedgerFiles, foreign: Keys) -> None:
    signed = files.checkpoints
    files.sign(foreign)
    files.checkpoints[:-1] = signed[:-1]


DAMAGE: list[tuple[Damage, str, int]] = [
    (flip_fact, "changed", 4),
    (flip_hash, "changed", 4),
    (insert_line, "changed", 4),
    (rewrite, "rewritten", 4),
    (rewrite_and_chain, "rewritten", 4),
    (rewrite_last, "rewritten", RECORDS),
    (delete, "deleted", 4),
    (delete_two, "deleted", 4),
    (delete_first, "deleted", 1),
    (delete_with_checkpoint, "bad_checkpoint", 4),
    (delete_and_chain, "rewritten", 4),
    (insert_copy, "inserted", 4),
    (insert_forged, "inserted", 4),
    (insert_and_chain, "rewritten", 4),
    (append_unsigned, "bad_checkpoint", RECORDS + 1),
    (swap, "swapped", 4),
    (swap_and_chain, "rewritten", 4),
    (truncate, "truncated", RECORDS),
    (truncate_three, "truncated", RECORDS - 2),
    (truncate_all, "truncated", 1),
    (truncate_within_a_line, "truncated", RECORDS),
    (remove_checkpoints, "bad_checkpoint", 1),
    (remove_two_checkpoints, "bad_checkpoint", RECORDS - 1),
    (remove_inner_checkpoint, "bad_checkpoint", 4),
    (swap_checkpoints, "bad_checkpoint", 4),
    (repeat_checkpoint, "bad_checkpoint", 4),
    (change_root, "bad_checkpoint", 4),
    (change_signature, "bad_checkpoint", 4),
    (change_spare_bits, "bad_checkpoint", 4),
    (add_signature, "bad_checkpoint", 4),
    (resign, "foreign_key", 1),
    (rewrite_and_resign, "foreign_key", 1),
    (resign_last, "foreign_key", RECORDS),
]


FOUND_WHEN_VERIFIED = {change_root, change_signature, change_spare_bits, add_signature}
"""Damage to earlier checkpoints, whose signatures an append does not verify: the last one covers all records."""


@pytest.mark.parametrize(("damage", "name", "sequence"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_found_by_name_and_record_and_is_not_continued(
    release_store: Path, store: SmallStore, foreign: Keys, damage: Damage, name: str, sequence: int
) -> None:
    files = LedgerFiles(release_store)
    damage(files, foreign)
    files.write()
    first = verify_ledger(release_store, store.keys.public_keys).problems[0]
    assert (first.damage, first.sequence) == (name, sequence), first.message
    damaged = (release_store / "ledger" / "records.jsonl").read_bytes()
    if damage in FOUND_WHEN_VERIFIED:
        return
    with pytest.raises(LedgerError, match=r"`lifecycle ledger verify` names the damage"):
        Ledger(release_store, store.keys).append(event("run", 100))
    assert (release_store / "ledger" / "records.jsonl").read_bytes() == damaged


@pytest.mark.long
def test_every_flipped_bit_of_a_record_and_of_a_checkpoint_is_found(release_store: Path, store: SmallStore) -> None:
    whole = LedgerFiles(release_store)
    assert verify_ledger(release_store, store.keys.public_keys).problems == ()
    for lines in ("records", "checkpoints"):
        line = getattr(whole, lines)[3]
        for place in range(len(line)):
            files = LedgerFiles(release_store)
            getattr(files, lines)[3] = flipped(line, place)
            files.write()
            problems = verify_ledger(release_store, store.keys.public_keys).problems
            assert problems, (lines, place)
            assert problems[0].sequence == 4, (lines, place)
            whole.write()


def test_a_fork_that_the_signing_key_made_is_found(release_store: Path, store: SmallStore) -> None:
    files = LedgerFiles(release_store)
    kept = files.checkpoints[-1]
    rewrite_last(files, store.keys)
    files.sign(store.keys)
    files.checkpoints.append(kept)
    files.write()
    first = verify_ledger(release_store, store.keys.public_keys).problems[0]
    assert (first.damage, first.sequence) == ("forked", RECORDS)


def saved_problems(release_store: Path, store: SmallStore, note: str) -> list[Problem]:
    return list(verify_ledger(release_store, store.keys.public_keys, [note]).problems)


def test_a_saved_checkpoint_shows_what_the_files_alone_cannot(release_store: Path, store: SmallStore) -> None:
    note = verify_ledger(release_store, store.keys.public_keys).last_note
    assert note is not None
    whole = LedgerFiles(release_store)
    Ledger(release_store, store.keys).append(event("run", 100))
    assert saved_problems(release_store, store, note) == []

    whole.records.pop()
    whole.checkpoints.pop()
    whole.write()
    assert verify_ledger(release_store, store.keys.public_keys).problems == ()
    [problem] = saved_problems(release_store, store, note)
    assert (problem.damage, problem.sequence) == ("truncated", RECORDS)

    Ledger(release_store, store.keys).append(event("run", 200))
    [problem] = saved_problems(release_store, store, note)
    assert (problem.damage, problem.sequence) == ("forked", RECORDS)


def test_a_saved_checkpoint_of_another_ledger_or_key_is_no_proof(
    release_store: Path, store: SmallStore, foreign: Keys
) -> None:
    files = LedgerFiles(release_store)
    files.sign(store.keys, "lifecycle-ledger/0000000000000000")
    note = files.checkpoints[-1].decode()
    [problem] = saved_problems(release_store, store, json.loads(note))
    assert problem.damage == "forked"
    files.sign(foreign)
    [problem] = saved_problems(release_store, store, json.loads(files.checkpoints[-1]))
    assert problem.damage == "foreign_key"
    [problem] = saved_problems(release_store, store, "a text")
    assert problem.damage == "bad_checkpoint"
