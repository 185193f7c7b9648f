"""`lifecycle ledger`: as an auditor runs it, with a copy of the release store and the public key."""

import json
import shutil
from pathlib import Path

import pytest

from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.cli.ledger import app
from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.events import gates_judged, run_actor
from lifecycle.releases.ledger.log import Ledger
from serving.contract.documents import Outcome, Verdict
from tests.harness.commands import said
from tests.harness.ledger_files import RECORDS, LedgerFiles, filled_ledger
from tests.harness.small_models import SmallStore


@pytest.fixture
def copy(store: SmallStore, tmp_path: Path) -> tuple[str, ...]:
    """Options for a copy of the release store and the public key, all that an auditor has."""
    shutil.copytree(filled_ledger(store), tmp_path / "copy")
    key = shutil.copy(store.keys.public_key_path, tmp_path / "public_key.pem")
    shutil.rmtree(store.settings.home)
    return ("--store", str(tmp_path / "copy"), "--key", str(key))


def test_a_copy_is_verified_with_the_public_key_alone(copy: tuple[str, ...]) -> None:
    assert said(app, "verify", *copy).startswith(f"Verified: {RECORDS} records up to 20")
    document = json.loads(said(app, "verify", *copy, "--json"))
    assert (document["is_verified"], document["records"], document["problems"]) == (True, RECORDS, [])
    assert document["checkpoint"].startswith(f"{document['origin']}\n{RECORDS}\n")
    assert document["verifier_keys"][0].startswith(f"{document['origin']}+")


def test_damage_is_named_and_exits_with_1(copy: tuple[str, ...]) -> None:
    files = LedgerFiles(Path(copy[1]))
    del files.records[3]
    files.write()
    output = said(app, "verify", *copy, exit_code=1)
    assert "deleted: record 4 is missing in front of record 5" in output
    assert "Not verified: 1 found, from record 4 on." in output
    [problem] = json.loads(said(app, "verify", *copy, "--json", exit_code=1))["problems"]
    assert (problem["damage"], problem["sequence"]) == ("deleted", 4)


def test_a_kept_checkpoint_is_compared(copy: tuple[str, ...], tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint"
    kept.write_text(said(app, "checkpoint", *copy[:2]))
    assert json.loads(said(app, "checkpoint", *copy[:2], "--json")) == {"checkpoint": kept.read_text()}
    assert said(app, "verify", *copy, "--checkpoint", str(kept)).startswith("Verified")
    files = LedgerFiles(Path(copy[1]))
    del files.records[-1], files.checkpoints[-1]
    files.write()
    assert said(app, "verify", *copy).startswith("Verified")
    output = said(app, "verify", *copy, "--checkpoint", str(kept), exit_code=1)
    assert f"truncated: record {RECORDS} is missing, which the saved checkpoint of {RECORDS} records covers" in output


def test_the_records_of_a_model_are_shown(copy: tuple[str, ...]) -> None:
    table = said(app, "show", "card_fraud", *copy[:2])
    assert table.count("training") == RECORDS - 1
    assert "genesis" in table
    records = json.loads(said(app, "show", "card_fraud", *copy[:2], "--json"))["records"]
    assert [record["sequence"] for record in records] == list(range(1, RECORDS + 1))
    with pytest.raises(LifecycleError, match=r"Expected a model that the ledger names, got 'card_fruad'.*card_fraud"):
        said(app, "show", "card_fruad", *copy[:2])


def test_a_store_without_a_ledger_a_missing_folder_and_a_missing_key_are_named(
    store: SmallStore, tmp_path: Path
) -> None:
    store.settings.release_store.mkdir()
    folder = ("--store", str(store.settings.release_store))
    key = ("--key", str(store.keys.public_key_path))
    assert said(app, "verify", *folder, *key).startswith("No ledger yet")
    assert json.loads(said(app, "verify", *folder, *key, "--json"))["records"] is None
    with pytest.raises(LifecycleError, match="Expected a ledger, found none"):
        said(app, "checkpoint", *folder)
    with pytest.raises(LifecycleError, match="Expected a release store, found no folder"):
        said(app, "verify", "--store", str(tmp_path / "none"), *key)
    with pytest.raises(LifecycleError, match="Expected a readable public key file"):
        said(app, "verify", *folder, "--key", str(tmp_path / "none.pem"))
    with pytest.raises(LifecycleError, match="Expected a readable file, got no such file or directory"):
        said(app, "verify", *folder, *key, "--checkpoint", str(tmp_path / "none"))


def test_what_the_gates_said_is_shown_in_the_words_of_the_other_pages(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    ledger = Ledger(store.settings.release_store, store.keys)
    outcomes: list[tuple[Outcome, ...]] = [("PASS", "PASS"), ("PASS", "FAIL"), ("INCONCLUSIVE", "PASS")]
    for number, found in enumerate(outcomes):
        verdicts = tuple(Verdict.of(gate, one, "", {}, {}) for gate, one in zip("ab", found, strict=True))
        evidence = GateEvidence("card_fraud", str(number) * 64, "d" * 64, "2026-01-08", verdicts)
        ledger.append(gates_judged(evidence, run_actor(str(number)), is_backtest=False))
    table = said(app, "show", "card_fraud", "--store", str(store.settings.release_store))
    for text in ("passed 2 gates as of 2026-01-08", "refused by b as of", "inconclusive: a as of"):
        assert text in " ".join(table.split()), table
