"""Candidates and evidence: whole or not there, found by their names, believed only if they match."""

import dataclasses
import datetime as dt
from pathlib import Path

import msgspec
import pytest

from lifecycle.artefacts.candidates import Candidate, CandidateStore, training_files
from lifecycle.artefacts.evidence import EvidenceStore, GateEvidence
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.alerts import Alert
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.verdict import MonitoringVerdict
from lifecycle.releases.alert_log import raise_alert, raised_keys
from lifecycle.settings.platform import Settings
from serving.contract.documents import Bands, Calibration, Deciding, GoldenRow, Lineage, Verdict
from serving.storage.durable import write_file, write_folder

LINEAGE = Lineage(
    as_of="2018-08-29",
    training_set_digest="a" * 64,
    code_commit=None,
    parameters={"num_leaves": 15},
    seed=7,
    library_versions={"lightgbm": "4"},
)
DECIDING = Deciding(
    schema_version=1,
    model="card_fraud",
    features=(),
    calibration=Calibration(slope=1.0, intercept=0.0),
    bands=Bands(review_from=0.5),
)
GOLDEN = (GoldenRow(features={"amount": 1.0}, margin=0.5, score=0.6),)


def written(store: CandidateStore, text: bytes = b"tree", evaluation: bytes = b"{}") -> Candidate:
    return store.write(text, DECIDING, GOLDEN, LINEAGE, {"evaluation.json": evaluation})


def test_a_candidate_is_found_by_its_date_and_by_its_digest(tmp_path: Path) -> None:
    store = CandidateStore(tmp_path, "card_fraud")
    candidate = written(store)
    assert store.current("2018-08-29").digest == candidate.digest
    assert store.by_digest(candidate.digest).deciding == DECIDING
    assert store.by_digest(candidate.digest).lineage == LINEAGE


def test_the_same_candidate_again_changes_nothing_and_another_evaluation_is_kept(tmp_path: Path) -> None:
    store = CandidateStore(tmp_path, "card_fraud")
    first = written(store)
    assert written(store).folder == first.folder
    again = written(store, evaluation=b'{"windows":[]}')
    assert again.digest == first.digest
    assert store.current("2018-08-29").read("evaluation.json") == b'{"windows":[]}'


def test_what_a_training_measured_is_read_back_with_its_types(tmp_path: Path, trained: Trained) -> None:
    candidate = CandidateStore(tmp_path, "toy").write(b"tree", DECIDING, GOLDEN, LINEAGE, training_files(trained))
    evaluation = candidate.evaluation
    assert evaluation.holdout == trained.evaluation
    assert evaluation.baseline_difference == trained.baseline_difference
    assert (evaluation.windows, evaluation.trials) == (trained.windows, trained.trials)
    assert (evaluation.curves, evaluation.judged_calibration) == (trained.curves, trained.judged_calibration)
    assert candidate.reference == trained.reference


def test_an_evaluation_of_another_shape_is_refused_with_its_path(tmp_path: Path) -> None:
    candidate = written(CandidateStore(tmp_path, "card_fraud"))
    with pytest.raises(LifecycleError, match=r"required field `holdout`; train the candidate again - in .*evaluation"):
        _ = candidate.evaluation


def test_a_candidate_whose_files_were_changed_is_not_believed(tmp_path: Path) -> None:
    store = CandidateStore(tmp_path, "card_fraud")
    candidate = written(store)
    (candidate.folder / "model.txt").write_bytes(b"another tree")
    with pytest.raises(LifecycleError, match=f"digest {candidate.digest}, got .*; train the candidate again"):
        store.current("2018-08-29")


def test_a_missing_candidate_says_which_asset_makes_it(tmp_path: Path) -> None:
    store = CandidateStore(tmp_path, "card_fraud")
    with pytest.raises(LifecycleError, match="as of 2018-08-29, found none; materialise the asset card_fraud/cand"):
        store.current("2018-08-29")
    with pytest.raises(LifecycleError, match="with digest abc, found none"):
        store.by_digest("abc")


def evidence(*passed: bool) -> GateEvidence:
    verdicts = tuple(Verdict(gate=f"gate_{n}", is_passed=is_passed, summary="") for n, is_passed in enumerate(passed))
    return GateEvidence(
        model="card_fraud",
        candidate_digest="c" * 64,
        training_set_digest="d" * 64,
        as_of="2018-08-29",
        verdicts=verdicts,
    )


@pytest.mark.parametrize(
    ("passed", "is_passed", "refused"),
    [((), False, []), ((True,), True, []), ((True, False), False, ["gate_1"]), ((True, True), True, [])],
)
def test_evidence_passes_only_with_verdicts_that_all_pass(
    tmp_path: Path, passed: tuple[bool, ...], is_passed: bool, refused: list[str]
) -> None:
    store = EvidenceStore(tmp_path, "card_fraud")
    store.write_gates(evidence(*passed))
    read = store.gates("c" * 64)
    assert read.is_passed is is_passed
    assert [verdict.gate for verdict in read.refusals] == refused


def test_evidence_of_another_candidate_is_not_found(tmp_path: Path) -> None:
    EvidenceStore(tmp_path, "card_fraud").write_gates(evidence(True))
    with pytest.raises(LifecycleError, match="the gates' verdicts on candidate eee, found none; run its gates first"):
        EvidenceStore(tmp_path, "card_fraud").gates("eee")


TRAFFIC = DriftVerdict(
    bundle_digest="b" * 64, window_start="2018-08-22", window_end="2018-08-29", rows=7000, has_verdict=True,
    is_alarm=True, psi={"amount": 0.3, "score": 0.1}, alarmed=("amount",), threshold=0.2, onset="2018-08-24",
    reason="PSI above 0.2: amount 0.300",
)  # fmt: skip
PERFORMANCE = PerformanceVerdict(
    window_start="2018-08-15", window_end="2018-08-22", positives=120, has_verdict=True, is_alarm=False, recall=0.5,
    promised=0.52, required=0.4, reason="recall at capacity 0.500 is not below 0.400 (holdout 0.520)",
)  # fmt: skip
MONITORED = MonitoringVerdict(
    as_of="2018-08-29", is_alarm=True, reason=TRAFFIC.reason, onset="2018-08-24", new_positives=60, champion="b" * 64,
    champion_trained_until="2018-08-01", traffic=TRAFFIC, performance=PERFORMANCE,
)  # fmt: skip


def test_monitoring_is_kept_by_date_and_replaced_by_the_same_date(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, "card_fraud")
    later = dataclasses.replace(MONITORED, as_of="2018-08-30", new_positives=70)
    for verdict in (dataclasses.replace(later, is_alarm=False), MONITORED, later):
        store.write_drift(verdict)
    assert list(store.drift().items()) == [(dt.date(2018, 8, 29), MONITORED), (dt.date(2018, 8, 30), later)]
    assert store.live_performance() == {}
    store.write_live_performance(dt.date(2018, 8, 29), PERFORMANCE)
    assert store.live_performance() == {dt.date(2018, 8, 29): PERFORMANCE}


def test_monitoring_evidence_is_the_json_of_its_fields_and_may_have_more(tmp_path: Path) -> None:
    """Evidence keeps its keys across versions; a key of another version does not make it unreadable."""
    store, path = EvidenceStore(tmp_path, "m"), tmp_path / "m" / "drift" / "2018-08-29.json"
    store.write_drift(dataclasses.replace(MONITORED, performance=None))
    document = msgspec.json.decode(path.read_bytes())
    assert list(document) == [
        "as_of", "is_alarm", "reason", "onset", "new_positives", "champion", "champion_trained_until", "traffic",
        "performance", "standing", "news",
    ]  # fmt: skip
    assert list(document["traffic"]) == [
        "bundle_digest", "window_start", "window_end", "rows", "has_verdict", "is_alarm", "psi", "alarmed", "threshold",
        "onset", "reason", "missing_days", "outside", "outside_alarmed", "outside_limit", "counts",
    ]  # fmt: skip
    path.write_bytes(msgspec.json.encode(document | {"added_later": 1}))
    assert store.drift()[dt.date(2018, 8, 29)].traffic == TRAFFIC


def test_damaged_evidence_is_refused_with_its_path(tmp_path: Path) -> None:
    store, path = EvidenceStore(tmp_path, "m"), tmp_path / "m" / "drift" / "2018-08-29.json"
    write_file(path, b"{}")
    with pytest.raises(LifecycleError, match=r"required field `as_of`.*materialise its asset again - in .*2018-08-29"):
        store.drift()


def test_a_file_is_replaced_whole_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["file"]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bundles" / "abc"
    write_folder(path, {"a": b"1"})
    write_folder(path, {"a": b"2"})
    assert (path / "a").read_bytes() == b"1"
    assert [child.name for child in path.parent.iterdir()] == ["abc"]


def test_alerts_are_appended_and_a_refusal_reads_unlike_a_broken_run(tmp_path: Path) -> None:
    for kind in ("candidate_refused", "run_broken"):
        alert = Alert(
            kind=kind, model="card_fraud", as_of="2018-08-29", run_id="r", message="m", remedy="n",
            raised_at=dt.datetime(2018, 8, 29, tzinfo=dt.UTC),
        )  # fmt: skip
        raise_alert(Settings(home=tmp_path), alert)
    lines = (tmp_path / "alerts.jsonl").read_bytes().splitlines()
    titles = [msgspec.json.decode(line, type=Alert).title for line in lines]
    assert titles == ["Candidate refused: card_fraud as of 2018-08-29", "Run broken: card_fraud as of 2018-08-29"]
    assert (tmp_path / "alerts.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_torn_line_costs_no_alert_and_keys_are_read_back(tmp_path: Path) -> None:
    alert = Alert(
        kind="drift", model="card_fraud", as_of="2018-08-29", run_id="r", message="m", remedy="n",
        raised_at=dt.datetime(2018, 8, 29, tzinfo=dt.UTC), keys=("one", "two"),
    )  # fmt: skip
    assert raised_keys(tmp_path) == set()
    raise_alert(Settings(home=tmp_path), alert)
    path = tmp_path / "alerts.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    raise_alert(Settings(home=tmp_path), msgspec.structs.replace(alert, keys=("three",)))
    assert path.read_bytes().startswith(whole + whole[: len(whole) // 2] + b"\n{")
    assert raised_keys(tmp_path) == {"one", "two", "three"}


@pytest.mark.parametrize(
    ("given", "run_id", "run_url", "runbook_url"),
    [
        ({}, "r", "http://127.0.0.1:3000/runs/r", "docs/alerts.md#drift"),
        ({}, None, None, "docs/alerts.md#drift"),
        (
            {"dagster_url": "https://dagster.example/risk/", "runbook_url": "https://git.example/platform/blob/main/"},
            "r",
            "https://dagster.example/risk/runs/r",
            "https://git.example/platform/blob/main/docs/alerts.md#drift",
        ),
    ],
)
def test_an_alert_links_its_run_and_its_runbook_in_the_file_and_in_the_log(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    given: dict[str, str],
    run_id: str | None,
    run_url: str | None,
    runbook_url: str,
) -> None:
    alert = Alert(
        kind="drift", model="card_fraud", as_of="2018-08-29", run_id=run_id, message="m.", remedy="n.",
        raised_at=dt.datetime(2018, 8, 29, tzinfo=dt.UTC),
    )  # fmt: skip
    raise_alert(Settings.model_validate({"home": tmp_path, **given}), alert)
    written = msgspec.json.decode((tmp_path / "alerts.jsonl").read_bytes(), type=Alert)
    assert written == msgspec.structs.replace(alert, run_url=run_url, runbook_url=runbook_url)
    run = f" Run: {run_url}" if run_url else ""
    assert caplog.messages == [f"Drift: card_fraud as of 2018-08-29. m. n.{run} Runbook: {runbook_url}"]


def test_an_alert_of_before_there_were_links_is_read() -> None:
    line = (
        b'{"kind":"drift","model":null,"as_of":null,"run_id":"r","message":"m","remedy":"n",'
        b'"raised_at":"2018-08-29T00:00:00Z"}'
    )
    alert = msgspec.json.decode(line, type=Alert)
    assert (alert.run_url, alert.runbook_url, alert.keys) == (None, None, ())
