"""The ledger tells the whole loop: configuration, candidate, verdicts, version, release, in this order."""

import hashlib
import re

import pyarrow as pa
import pytest

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.first_release import release_first
from lifecycle.assets.recording import record_configuration
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import release_asset
from lifecycle.assets.training import candidate_asset
from lifecycle.assets.validation import gate_checks
from lifecycle.gates.candidate_gates import GATES
from lifecycle.modelling.training import Trained
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.events import run_actor
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import Record
from lifecycle.releases.ledger.verify import verify_ledger
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import digest
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import FakeRegistry, failure, freeze, materialize


@pytest.fixture
def trainable(
    stores: Stores,
    spec: RiskModelSpec,
    model: Trained,
    table: pa.Table,
    registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> Stores:
    """Stores with a training set, on which training gives the toy model at once."""
    freeze(stores, spec, table)
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)
    return stores


def looped(stores: Stores, spec: RiskModelSpec) -> list[Record]:
    """Train, judge, register and release; the records of all that."""
    steps = [candidate_asset(spec), gate_checks(spec), model_version_asset(spec), release_asset(spec)]
    result = materialize(stores, steps, AS_OF)
    assert result.success, failure(result)
    return records_of(stores)


def records_of(stores: Stores) -> list[Record]:
    """The records, once the ledger and the releases are found to agree."""
    root, keys = stores.settings.release_store, stores.key_ring().public_keys
    verification = with_releases(verify_ledger(root, keys), root, keys)
    assert (verification.problems, verification.notices) == ((), ())
    return read_records(root)


def test_the_whole_loop_is_recorded_with_the_digests_of_its_files(trainable: Stores, spec: RiskModelSpec) -> None:
    records = looped(trainable, spec)
    assert [record.kind for record in records] == [
        "genesis", "configuration", "training", "gates", "registration", "release", "released",
    ]  # fmt: skip
    _, configuration, training, gates, registration, release, _ = records
    candidate = trainable.candidates("toy").current(AS_OF.isoformat())
    assert set(configuration.subjects) == {"specification"}
    assert training.subjects == {
        "candidate": candidate.digest,
        "training_set": candidate.lineage.training_set_digest,
    }
    evidence = trainable.settings.evidence_dir / "toy" / "gates" / f"{candidate.digest}.json"
    assert gates.subjects["evidence"] == hashlib.sha256(evidence.read_bytes()).hexdigest()
    assert [verdict["gate"] for verdict in gates.facts["verdicts"]] == list(GATES)
    assert all("summary" not in verdict for verdict in gates.facts["verdicts"])
    [released] = trainable.releases().history("toy")
    assert release.subjects == {"champion": released.champion.bundle_digest}
    assert registration.subjects == {"bundle": released.champion.bundle_digest, "candidate": candidate.digest}
    assert registration.facts == {"mlflow_version": "1"}
    assert {record.actor.kind for record in (configuration, training, gates, registration)} == {"run"}
    assert (release.actor.kind, release.actor.name) == ("policy", "promotion policy")


@pytest.mark.long
def test_a_second_run_is_recorded_as_the_backtest_that_it_is(trainable: Stores, spec: RiskModelSpec) -> None:
    first = looped(trainable, spec)
    again = looped(trainable, spec)[len(first) :]
    assert [record.kind for record in again] == ["training", "gates"]
    assert [record.facts["is_backtest"] for record in (*first, *again) if record.kind == "gates"] == [False, True]
    assert {record.actor.name for record in again}.isdisjoint({record.actor.name for record in first})


@pytest.mark.long
def test_a_refused_candidate_is_recorded_with_its_verdicts(trainable: Stores, spec: RiskModelSpec) -> None:
    strict = spec.model_copy(update={"gates": spec.gates.model_copy(update={"minimum_rows": 10_000_000})})
    result = materialize(trainable, [candidate_asset(strict), gate_checks(strict)], AS_OF)
    assert not result.success
    gates = records_of(trainable)[-1]
    assert gates.kind == "gates"
    [refused] = [verdict for verdict in gates.facts["verdicts"] if verdict["gate"] == "enough_evidence"]
    assert refused["is_passed"] is False
    assert refused["required"]["minimum_rows"] == 10_000_000


def test_each_change_of_the_specification_is_recorded_once_and_a_return_to_it_too(
    stores: Stores, spec: RiskModelSpec
) -> None:
    changed = spec.model_copy(update={"owner": "another team"})
    for current in (spec, spec, changed, changed, spec):
        record_configuration(current, stores, run_actor("r"))
    kinds = [record.subjects["specification"] for record in records_of(stores) if record.kind == "configuration"]
    assert len(kinds) == 3
    assert kinds[0] == kinds[2] != kinds[1]


def test_a_first_release_by_a_person_is_recorded_with_the_verdicts_that_it_rests_on(
    trainable: Stores, spec: RiskModelSpec
) -> None:
    result = materialize(trainable, [candidate_asset(spec)], AS_OF)
    assert result.success, failure(result)
    candidate: Candidate = trainable.candidates("toy").current(AS_OF.isoformat())
    release_first(spec, trainable, candidate, by="ana", reason="the first one")
    acts = [(record.kind, record.actor.kind) for record in records_of(trainable)][2:]
    assert acts == [
        ("training", "run"), ("training", "person"), ("gates", "person"), ("release", "person"),
        ("released", "platform"),
    ]  # fmt: skip


def test_no_record_holds_more_than_names_digests_numbers_and_verdicts(trainable: Stores, spec: RiskModelSpec) -> None:
    looped(trainable, spec)
    content = (trainable.settings.release_store / "ledger" / "records.jsonl").read_text()
    assert not re.search(r"reason|summary|customer_id|card_id", content)
    assert digest(b"") not in content
