"""What an audit says of the gates of the model that decided."""

import pytest

from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.local.audit.documents import Model
from lifecycle.local.audit.model_origin import gates_check
from lifecycle.releases.ledger.events import gates_judged, run_actor
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import Record
from serving.contract.documents import Verdict
from tests.harness.small_models import SmallStore

CANDIDATE = "c" * 64
VERDICTS = (Verdict.of("a", "PASS", "", {"n": 1.0}, {}), Verdict.of("b", "FAIL", "", {}, {}))


def model(*waived: str, verdicts: tuple[Verdict, ...] = VERDICTS) -> Model:
    return Model(
        bundle_digest="b" * 64, candidate_digest=CANDIDATE, training_set_digest="d" * 64, as_of="2026-01-08",
        code_commit=None, seed=1, library_versions={}, verdicts=verdicts, waived=waived, signed_by="k",
    )  # fmt: skip


@pytest.fixture
def records(store: SmallStore) -> list[Record]:
    evidence = GateEvidence("card_fraud", CANDIDATE, "d" * 64, "2026-01-08", VERDICTS)
    Ledger(store.settings.release_store, store.keys).append(gates_judged(evidence, run_actor("r"), is_backtest=False))
    return read_records(store.settings.release_store)


def test_a_gate_that_did_not_pass_is_a_failed_check_unless_it_was_waived(records: list[Record]) -> None:
    refused = gates_check(model(), records)
    assert (refused.outcome, refused.detail) == ("failed", "the manifest names gates that did not pass: b")
    waived = gates_check(model("b"), records)
    assert (waived.outcome, waived.detail) == ("passed", "1 passed, waived b, as record 2 of the ledger has them")
    assert gates_check(model("a"), records).outcome == "failed"


def test_other_verdicts_than_the_ledgers_are_a_failed_check_although_waived(records: list[Record]) -> None:
    other = (Verdict.of("a", "PASS", "", {"n": 2.0}, {}), VERDICTS[1])
    assert gates_check(model("b", verdicts=other), records).outcome == "failed"
    assert gates_check(model("b"), records[:1]).outcome == "unknown"
