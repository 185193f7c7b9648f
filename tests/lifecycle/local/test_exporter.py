"""The lifecycle's metrics: the numbers of the newest files, and what is damaged costs only its own."""

import dataclasses
import datetime as dt
import json
import os
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.local.exporter.collector import Exporter
from lifecycle.local.exporter.families import FAMILIES
from lifecycle.monitoring.alerts import Alert, AlertKind
from lifecycle.monitoring.live_performance import upper_limit
from lifecycle.releases.alert_log import ALERTS_FILE, raise_alert
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys
from tests.harness.release_files import release_path
from tests.harness.small_models import MODEL, SmallStore
from tests.harness.verdicts import ALARM, AS_OF, DAY, MATCHING, PERFORMANCE, REQUESTS, STANDING, write_evidence

Values = dict[tuple[str, str], float]
"""Values by name and labels; the labels as `model=m,column=c` in the order of their names."""


def scraped(exporter: Exporter) -> Values:
    text = exporter.exposition().decode()
    return {
        (sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def midnight(date: dt.date) -> float:
    return dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()


@pytest.fixture
def home(store: SmallStore) -> Settings:
    """An installation with the small model's release store and its keys, in production's profile."""
    return store.settings


@pytest.fixture
def evidence(home: Settings) -> EvidenceStore:
    return EvidenceStore(home.evidence_dir, MODEL)


def alert(kind: AlertKind, model: str | None = MODEL) -> Alert:
    return Alert(
        kind=kind, model=model, as_of=None, run_id=None, message="", remedy="", raised_at=dt.datetime.now(dt.UTC)
    )


def test_the_metrics_are_the_numbers_of_the_newest_files(
    home: Settings, store: SmallStore, evidence: EvidenceStore
) -> None:
    release = store.publish(1)
    write_evidence(evidence, release.champion.bundle_digest)
    evidence.write_drift(dataclasses.replace(ALARM, as_of="2018-08-28", is_alarm=False))
    told, of = scraped(Exporter(home)), f"model={MODEL}"
    expected = {
        ("lifecycle_judged_day_timestamp_seconds", of): midnight(DAY),
        ("lifecycle_has_verdict", f"{of},part=traffic"): 1,
        ("lifecycle_has_verdict", f"{of},part=performance"): 1,
        ("lifecycle_drift_psi", f"column=score,{of}"): 1.5,
        ("lifecycle_drift_psi", f"column=amount,{of}"): 0.3,
        ("lifecycle_drift_psi_limit", of): 0.2,
        ("lifecycle_drift_outside_share", f"column=amount,{of}"): 0.004,
        ("lifecycle_drift_outside_share", f"column=score,{of}"): 0,
        ("lifecycle_drift_outside_share_limit", of): 0.005,
        ("lifecycle_alarm_standing", of): 1,
        ("lifecycle_alarm_onset_timestamp_seconds", of): midnight(dt.date(2018, 8, 24)),
        ("lifecycle_alarm_since_timestamp_seconds", of): midnight(dt.date(2018, 8, 27)),
        ("lifecycle_alarm_findings", f"{of},severity=extreme"): 1,
        ("lifecycle_alarm_findings", f"{of},severity=major"): 1,
        ("lifecycle_alarm_findings", f"{of},severity=moderate"): 0,
        ("lifecycle_recall", of): 0.17,
        ("lifecycle_recall_upper_limit", of): upper_limit(17, 100),
        ("lifecycle_recall_lower_limit", of): 1 - upper_limit(83, 100),
        ("lifecycle_recall_promised", of): 0.5,
        ("lifecycle_recall_required", of): 0.35,
        ("lifecycle_recall_positives", of): 100,
        ("lifecycle_counted_day_timestamp_seconds", of): midnight(DAY),
        ("lifecycle_decisions", of): 980,
        ("lifecycle_refused_requests", f"kind=InvalidRequest,{of}"): 20,
        ("lifecycle_transactions", of): 1000,
        ("lifecycle_unaccounted", f"cause=unmatched_decisions,{of}"): 3,
        ("lifecycle_unaccounted", f"cause=repeated_transactions,{of}"): 2,
        ("lifecycle_unaccounted", f"cause=failed_requests,{of}"): 1,
        ("lifecycle_unaccounted", f"cause=undecided_transactions,{of}"): 25,
        ("lifecycle_entities_per_day", f"band=declined,{of}"): 43,
        ("lifecycle_entities_per_day", f"band=reviewed_or_declined,{of}"): 90,
        ("lifecycle_entity_capacity_per_day", f"band=declined,{of}"): 20,
        ("lifecycle_entity_capacity_per_day", f"band=reviewed_or_declined,{of}"): 100,
        ("lifecycle_over_capacity", f"band=declined,{of}"): 1,
        ("lifecycle_over_capacity", f"band=reviewed_or_declined,{of}"): 0,
        ("lifecycle_release_number", of): 1,
        ("lifecycle_release_as_of_timestamp_seconds", of): midnight(dt.date.fromisoformat(release.champion.as_of)),
        ("lifecycle_released_timestamp_seconds", of): pytest.approx(release.released_at.timestamp()),
        ("lifecycle_promotion_held", of): 0,
        ("lifecycle_promotion_frozen", ""): 0,
        ("lifecycle_candidates", f"{of},outcome=passed"): 2,
        ("lifecycle_candidates", f"{of},outcome=refused"): 1,
        ("lifecycle_retrainings_total", f"{of},outcome=released"): 1,
        ("lifecycle_retrainings_total", f"{of},outcome=refused"): 0,
    }
    assert {key: told.get(key) for key in expected} == expected
    assert {name.removesuffix("_total") for name, _ in told} == {family.name for family in FAMILIES}
    assert sum(value for (name, _), value in told.items() if name == "lifecycle_unreadable_files") == 0


def test_an_alarm_ends_with_the_champion_that_it_concerns(
    home: Settings, store: SmallStore, evidence: EvidenceStore
) -> None:
    write_evidence(evidence, store.publish(1).champion.bundle_digest)
    exporter, of = Exporter(home), f"model={MODEL}"
    assert scraped(exporter)["lifecycle_alarm_standing", of] == 1
    store.publish(2)
    told = scraped(exporter)
    assert told["lifecycle_alarm_standing", of] == 0
    assert told["lifecycle_alarm_findings", f"{of},severity=extreme"] == 0
    assert told["lifecycle_over_capacity", f"band=declined,{of}"] == 0
    assert told["lifecycle_retrainings_total", f"{of},outcome=released"] == 2
    assert ("lifecycle_alarm_onset_timestamp_seconds", of) not in told
    store.releases.rollback(MODEL, by="anna", reason="worse")
    told = scraped(exporter)
    assert told["lifecycle_alarm_standing", of] == 1, "the verdict is on the champion again"
    assert told["lifecycle_retrainings_total", f"{of},outcome=released"] == 2, "a rollback is no retraining"


def test_a_hold_and_a_freeze_are_told_until_they_end(home: Settings, store: SmallStore) -> None:
    for seed in (1, 2):
        store.publish(seed)
    exporter, held, frozen = (
        Exporter(home),
        ("lifecycle_promotion_held", f"model={MODEL}"),
        ("lifecycle_promotion_frozen", ""),
    )
    store.releases.rollback(MODEL, by="anna", reason="worse")
    store.releases.switches.freeze(by="anna", reason="audit")
    told = scraped(exporter)
    assert (told[held], told[frozen], told["lifecycle_release_number", f"model={MODEL}"]) == (1, 1, 3)
    store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="fixed")
    store.releases.switches.unfreeze(by="anna", reason="done")
    told = scraped(exporter)
    assert (told[held], told[frozen]) == (0, 0)


def test_without_a_verdict_there_is_no_recall_and_no_psi(home: Settings, evidence: EvidenceStore) -> None:
    traffic = dataclasses.replace(ALARM.traffic, has_verdict=False, psi={}, outside={})
    evidence.write_drift(dataclasses.replace(ALARM, traffic=traffic, is_alarm=False, standing=None))
    evidence.write_live_performance(AS_OF, dataclasses.replace(PERFORMANCE, has_verdict=False, recall=1.0))
    told = scraped(Exporter(home))
    assert [key for key in told if key[0] in {"lifecycle_recall", "lifecycle_drift_psi"}] == []
    assert told["lifecycle_has_verdict", f"model={MODEL},part=performance"] == 0
    assert told["lifecycle_has_verdict", f"model={MODEL},part=traffic"] == 0
    assert told["lifecycle_recall_promised", f"model={MODEL}"] == 0.5


def test_every_kind_of_alert_is_counted_from_zero_on_and_only_new_lines_are_read(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = Exporter(home)
    told = scraped(exporter)
    assert told["lifecycle_alerts_total", f"kind=drift,model={MODEL}"] == 0
    assert told["lifecycle_alerts_total", "kind=run_broken,model="] == 0
    for kind, model in (("drift", MODEL), ("drift", MODEL), ("run_broken", None), ("run_broken", MODEL)):
        raise_alert(home, alert(kind, model))  # type: ignore[arg-type]
    raise_alert(home, alert("candidate_refused"))
    told = scraped(exporter)
    assert told["lifecycle_alerts_total", f"kind=drift,model={MODEL}"] == 2
    assert told["lifecycle_alerts_total", "kind=run_broken,model="] == 1
    assert told["lifecycle_retrainings_total", f"model={MODEL},outcome=broken"] == 1
    assert told["lifecycle_retrainings_total", f"model={MODEL},outcome=refused"] == 1
    path = home.root / ALERTS_FILE
    # A changed first line shows that it is not read again; a shorter file is another one.
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content.replace(b'"drift"', b'"other"', 1)[:20])
    assert scraped(exporter)["lifecycle_alerts_total", f"kind=drift,model={MODEL}"] == 2
    os.truncate(path, content.index(b"\n") + 1)
    assert scraped(exporter)["lifecycle_alerts_total", f"kind=drift,model={MODEL}"] == 0
    path.unlink()
    assert scraped(exporter)["lifecycle_alerts_total", "kind=run_broken,model="] == 0


def test_a_torn_line_is_counted_once_it_is_ended(home: Settings) -> None:
    exporter, unreadable = Exporter(home), ("lifecycle_unreadable_alert_lines_total", "")
    raise_alert(home, alert("drift"))
    path = home.root / ALERTS_FILE
    path.write_bytes(path.read_bytes() + b'{"kind":"dri')
    told = scraped(exporter)
    assert (told[unreadable], told["lifecycle_alerts_total", f"kind=drift,model={MODEL}"]) == (0, 1)
    raise_alert(home, alert("drift"))
    told = scraped(exporter)
    assert (told[unreadable], told["lifecycle_alerts_total", f"kind=drift,model={MODEL}"]) == (1, 2)


FOLDERS = ("drift", "live_performance", "decision_load", "requests", "matching", "gates")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b'{"as_of": 7}'])
def test_damaged_evidence_costs_its_own_values_and_is_counted(
    home: Settings, store: SmallStore, evidence: EvidenceStore, content: bytes
) -> None:
    write_evidence(evidence, store.publish(1).champion.bundle_digest)
    exporter = Exporter(home)
    whole = scraped(exporter)
    for kind in FOLDERS:
        [path, *_] = sorted((home.evidence_dir / MODEL / kind).glob("*.json"))
        original = path.read_bytes()
        path.write_bytes(content)
        told = scraped(exporter)
        assert told["lifecycle_unreadable_files", f"kind={kind},model={MODEL}"] == 1
        lost = {name for name, _ in whole.keys() - told.keys()}
        assert lost or kind == "gates"
        assert {key: value for key, value in whole.items() if key in told and "unreadable" not in key[0]} == {
            key: value for key, value in told.items() if "unreadable" not in key[0]
        } or kind == "gates"
        path.write_bytes(original)
        assert scraped(exporter) == whole


def test_an_older_damaged_file_is_counted_and_changes_no_value(home: Settings, evidence: EvidenceStore) -> None:
    write_evidence(evidence, "b")
    exporter = Exporter(home)
    whole = scraped(exporter)
    (home.evidence_dir / MODEL / "drift" / "2018-08-01.json").write_text("{}")
    unreadable = ("lifecycle_unreadable_files", f"kind=drift,model={MODEL}")
    assert scraped(exporter) == whole | {unreadable: 1}


def test_a_date_that_is_none_in_a_readable_document_is_damage_too(
    home: Settings, evidence: EvidenceStore, caplog: pytest.LogCaptureFixture
) -> None:
    standing = dataclasses.replace(STANDING, onset="customer 4711")
    evidence.write_drift(dataclasses.replace(ALARM, standing=standing))
    told = scraped(Exporter(home))
    assert told["lifecycle_unreadable_files", f"kind=drift,model={MODEL}"] == 1
    assert ("lifecycle_drift_psi", f"column=score,model={MODEL}") not in told
    assert "4711" not in caplog.text


def test_releases_that_do_not_verify_are_counted_until_they_do(home: Settings, store: SmallStore) -> None:
    store.publish(1)
    path, of = release_path(store, 1), f"model={MODEL}"
    exporter, content = Exporter(home), path.read_bytes()
    path.write_bytes(content.replace(b"test", b"tset"))
    told = scraped(exporter)
    assert told["lifecycle_unreadable_files", f"kind=releases,{of}"] == 1
    assert ("lifecycle_release_number", of) not in told
    assert scraped(exporter) == told
    path.write_bytes(content)
    told = scraped(exporter)
    assert told["lifecycle_release_number", of] == 1
    assert told["lifecycle_unreadable_files", f"kind=releases,{of}"] == 0


def test_promotion_counts_as_frozen_while_the_freeze_that_the_ledger_recorded_is_missing(
    home: Settings, store: SmallStore
) -> None:
    store.publish(1)
    store.releases.switches.freeze(by="anna", reason="audit")
    exporter, path = Exporter(home), home.release_store / "freezes" / "000001.json"
    content = path.read_bytes()
    path.unlink()
    told = scraped(exporter)
    assert told["lifecycle_promotion_frozen", ""] == 1
    assert told["lifecycle_unreadable_files", "kind=freezes,model="] == 1
    path.write_bytes(content)
    store.releases.switches.unfreeze(by="anna", reason="over")
    told = scraped(exporter)
    assert told["lifecycle_promotion_frozen", ""] == 0
    assert told["lifecycle_unreadable_files", "kind=freezes,model="] == 0


def test_what_stops_promotion_counts_as_on_while_it_cannot_be_read(home: Settings, store: SmallStore) -> None:
    for seed in (1, 2):
        store.publish(seed)
    store.releases.rollback(MODEL, by="anna", reason="worse")
    store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="fixed")
    store.releases.switches.freeze(by="anna", reason="audit")
    store.releases.switches.unfreeze(by="anna", reason="done")
    (home.release_store / "resumes" / MODEL / "000003.json").write_text("{}")
    (home.release_store / "freezes" / "000002.json").write_text("{}")
    told, of = scraped(Exporter(home)), f"model={MODEL}"
    assert (told["lifecycle_promotion_held", of], told["lifecycle_promotion_frozen", ""]) == (1, 1)
    assert told["lifecycle_unreadable_files", f"kind=resumes,{of}"] == 1
    assert told["lifecycle_unreadable_files", "kind=freezes,model="] == 1


def test_a_public_key_that_is_gone_costs_the_releases_alone(
    home: Settings, store: SmallStore, evidence: EvidenceStore
) -> None:
    write_evidence(evidence, store.publish(1).champion.bundle_digest)
    ensure_keys(home).public_key_path.unlink()
    told = scraped(Exporter(home))
    assert told["lifecycle_unreadable_files", "kind=keys,model="] == 1
    assert ("lifecycle_release_number", f"model={MODEL}") not in told
    assert told["lifecycle_drift_psi", f"column=score,model={MODEL}"] == 1.5


def test_an_empty_home_has_metrics_and_gets_no_files(settings: Settings) -> None:
    told = scraped(Exporter(settings))
    assert told["lifecycle_promotion_frozen", ""] == 0
    assert sum(value for (name, _), value in told.items() if name == "lifecycle_unreadable_files") == 0
    assert not settings.root.exists()


def test_a_folder_of_models_that_is_gone_is_counted_and_costs_nothing_else(
    home: Settings, store: SmallStore, evidence: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evidence(evidence, store.publish(1).champion.bundle_digest)
    exporter = Exporter(home)
    # A model without evidence is known by its folder alone.
    whole = {key: value for key, value in scraped(exporter).items() if "credit_default" not in key[1]}
    monkeypatch.setenv("LIFECYCLE_MODELS", str(home.root / "none"))
    assert scraped(exporter) == whole | {("lifecycle_unreadable_files", "kind=models,model="): 1}


def test_no_series_is_named_by_anything_but_models_columns_and_kinds(
    home: Settings, store: SmallStore, evidence: EvidenceStore
) -> None:
    """A year of evidence has as many series as a day."""
    write_evidence(evidence, store.publish(1).champion.bundle_digest)
    exporter = Exporter(home)
    before = len(scraped(exporter))
    for days in range(1, 40):
        as_of = AS_OF - dt.timedelta(days=days)
        evidence.write_drift(dataclasses.replace(ALARM, as_of=as_of.isoformat()))
        evidence.write_live_performance(as_of, PERFORMANCE)
        evidence.write_requests(dataclasses.replace(REQUESTS, day=as_of))
    assert len(scraped(exporter)) == before


def test_a_file_is_decoded_again_only_after_it_changed(
    home: Settings, evidence: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evidence(evidence, "b")
    for days in range(1, 10):
        evidence.write_drift(dataclasses.replace(ALARM, as_of=(AS_OF - dt.timedelta(days=days)).isoformat()))
    exporter, read = Exporter(home), []
    module = "lifecycle.local.exporter.evidence_files.read_evidence"
    from lifecycle.artefacts.evidence import read_evidence

    def counted(path: Path, document: type[object]) -> object:
        read.append(path.name)
        return read_evidence(path, document)

    monkeypatch.setattr(module, counted)
    scraped(exporter)
    first = len(read)
    assert first == 10 + 1 + 3 + 1 + 1 + 1 + 1 + 4
    scraped(exporter)
    assert len(read) - first == 5, "the newest document of each dated kind"
    evidence.write_drift(dataclasses.replace(ALARM, as_of="2018-08-22", is_alarm=False))
    scraped(exporter)
    assert read[first + 5 :].count("2018-08-22.json") == 1


def test_the_json_of_a_document_is_what_the_sensors_read(home: Settings, evidence: EvidenceStore) -> None:
    """Each kind is read back as it was written, dates included."""
    write_evidence(evidence, "b")
    assert evidence.requests() == {AS_OF: REQUESTS}
    assert evidence.matching() == {AS_OF: MATCHING}
    path = home.evidence_dir / MODEL / "requests" / "2018-08-29.json"
    assert json.loads(path.read_bytes()) == msgspec.to_builtins(REQUESTS)
