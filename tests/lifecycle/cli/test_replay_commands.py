"""A recorded decision is recomputed by the bundle that made it, and every difference is told."""

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from lifecycle.cli.reproduce import register
from lifecycle.errors import LifecycleError
from serving.contract.documents import DecisionRecord, RejectionRecord
from serving.log.segments import line_of, log_folders, record_of, segment_name, segment_paths
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.commands import said
from tests.harness.in_process_client import InProcessClient
from tests.harness.logs import MOMENT
from tests.harness.small_models import MODEL, SmallStore, score_request

runner = CliRunner()


@pytest.fixture
def app(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    monkeypatch.delenv("COLUMNS", raising=False)
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)  # several commands, as at the root
    return app


@pytest.fixture
def decided(store: SmallStore) -> Path:
    """The segment with one decision, made by a server."""
    store.publish(1)
    with InProcessClient(create_app(settings_of(store))) as client:
        assert client.post(f"/v1/models/{MODEL}/score", json=score_request("d1")).status_code == 200
    return store.settings.decision_log_dir / segment_name(1)


def test_a_decision_is_replayed_bit_for_bit_also_after_newer_releases(
    app: typer.Typer, store: SmallStore, decided: Path
) -> None:
    store.publish(2)
    assert "The same, the margin bit for bit." in said(app, "replay", "d1")
    [replay] = json.loads(said(app, "replay", "d1", "--json"))
    assert replay["is_same"]
    assert [line["name"] for line in replay["lines"]] == ["margin", "score", "decision"]
    assert decided.is_file()


def altered(segment: Path, **changes: object) -> None:
    segment.write_bytes(line_of(msgspec.structs.replace(record_of(segment.read_bytes()), **changes)))


def test_a_shadows_record_is_replayed_beside_the_answer(app: typer.Typer, decided: Path) -> None:
    answer = record_of(decided.read_bytes())
    with decided.open("ab") as segment:
        segment.write(line_of(msgspec.structs.replace(answer, slot="shadow")))
        segment.write(
            line_of(RejectionRecord(schema_version=1, rejected_at=MOMENT, kind="x", status=1, decision_id="d1"))
        )
    replays = json.loads(said(app, "replay", "d1", "--json"))
    assert [(replay["slot"], replay["is_same"]) for replay in replays] == [("champion", True), ("shadow", True)]
    assert "shadow of release 1" in said(app, "replay", "d1")


def test_a_margin_that_differs_in_its_last_bit_is_told(app: typer.Typer, decided: Path) -> None:
    record = record_of(decided.read_bytes())
    assert isinstance(record, DecisionRecord)
    assert record.margin is not None
    [bits] = struct.unpack("<q", struct.pack("<d", record.margin))
    [margin] = struct.unpack("<d", struct.pack("<q", bits + 1))
    altered(decided, margin=margin)
    [replay] = json.loads(said(app, "replay", "d1", "--json", exit_code=1))
    assert [line["is_same"] for line in replay["lines"]] == [False, True, True]
    assert "differs" in said(app, "replay", "d1", exit_code=1)


def test_recorded_reasons_are_replayed_and_a_changed_one_is_told(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1, can_explain=True)
    with InProcessClient(create_app(settings_of(store))) as client:
        answer = client.post(f"/v1/models/{MODEL}/score", json=score_request("d1"), headers={"X-Explain": "always"})
    assert answer.json()["reasons"]
    [replay] = json.loads(said(app, "replay", "d1", "--json"))
    assert [(line["name"], line["is_same"]) for line in replay["lines"]][-1] == ("reasons", True)
    segment = store.settings.decision_log_dir / segment_name(1)
    [record] = store.decisions()
    assert record.reasons
    strongest = record.reasons[0]
    changed = msgspec.structs.replace(strongest, contribution=strongest.contribution + 1e-6)
    altered(segment, reasons=(changed, *record.reasons[1:]))
    [replay] = json.loads(said(app, "replay", "d1", "--json", exit_code=1))
    assert [line["is_same"] for line in replay["lines"]] == [True, True, True, False]


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"features": (1.0, 1)}, "Expected 4 features, got 2"),
        ({"features": ("x", 1, "shop", None)}, "Expected `float`, got `str`"),
        ({"bundle_digest": "0" * 64}, "missing"),
        ({"bundle_digest": None}, "missing at least one - at decision d1"),
        ({"model": "credit"}, "Expected a bundle of credit, got one of card_fraud"),
        ({"error": "ScoringError"}, "only failed attempts"),
    ],
)
def test_a_record_that_cannot_be_replayed_says_why(
    app: typer.Typer, decided: Path, changes: dict[str, object], violation: str
) -> None:
    altered(decided, **changes)
    with pytest.raises(LifecycleError, match=violation):
        said(app, "replay", "d1")


def test_an_unknown_decision_is_not_found(app: typer.Typer, decided: Path) -> None:
    with pytest.raises(LifecycleError, match="Expected decision d2 in the decision log, found no record"):
        said(app, "replay", "d2")
    assert decided.is_file()


@pytest.fixture
def many(store: SmallStore) -> SmallStore:
    """Two releases' decisions by a server, some explained: three of the first, four of the second."""
    for seed, ids in ((1, range(3)), (2, range(3, 7))):
        store.publish(seed, can_explain=True)
        with InProcessClient(create_app(settings_of(store))) as client:
            for number in ids:
                headers = {"X-Explain": "always"} if number % 2 else {}
                answer = client.post(f"/v1/models/{MODEL}/score", json=score_request(f"d{number}"), headers=headers)
                assert answer.status_code == 200
    return store


def replayed_all(app: typer.Typer, *options: str, exit_code: int = 0) -> dict[str, Any]:
    return dict(json.loads(said(app, "replay", "--all", "--json", *options, exit_code=exit_code)))


def test_a_whole_log_is_replayed_and_counted_by_bundle(app: typer.Typer, many: SmallStore) -> None:
    found = replayed_all(app)
    assert (found["decisions"], found["is_same"], found["different"], found["unreplayable"]) == (7, True, [], [])
    assert [(bundle["decisions"], bundle["same"]) for bundle in found["bundles"].values()] == [(3, 3), (4, 4)]
    assert "7 decisions. All the same, margins bit for bit." in said(app, "replay", "--all")


def segments(store: SmallStore) -> list[Path]:
    log = store.settings.decision_log_dir
    return [path for folder in log_folders(log) for path in segment_paths(folder)]


def test_decisions_that_differ_or_cannot_be_replayed_are_listed(app: typer.Typer, many: SmallStore) -> None:
    records = many.decisions()
    [of_model] = {record.model for record in records}
    changed = [
        msgspec.structs.replace(records[0], score=0.5),
        msgspec.structs.replace(records[1], bundle_digest="0" * 64),
        msgspec.structs.replace(records[2], error="ScoringError", margin=None, score=None, decision=None),
        *records[3:],
    ]
    first, *others = segments(many)
    first.write_bytes(b"".join(map(line_of, changed)))
    for path in others:
        path.write_bytes(b"")
    found = replayed_all(app, exit_code=1)
    assert (found["decisions"], found["failed_attempts"], found["is_same"]) == (6, 1, False)
    assert [replay["decision_id"] for replay in found["different"]] == [records[0].decision_id]
    [left] = found["unreplayable"]
    assert left["decision_id"] == records[1].decision_id
    assert "missing" in left["reason"]
    shown = said(app, "replay", "--all", "--model", of_model, exit_code=1)
    assert "Not all the same." in shown
    assert "1 failed attempts decided nothing." in shown
    assert replayed_all(app, "--model", "another")["decisions"] == 0


def test_a_span_of_time_is_replayed(app: typer.Typer, many: SmallStore) -> None:
    middle = sorted(record.decided_at for record in many.decisions())[3].strftime("%Y-%m-%dT%H:%M:%S")
    assert replayed_all(app, "--since", "2001-01-01")["decisions"] == 7
    assert replayed_all(app, "--until", "2001-01-01")["decisions"] == 0
    halves = [replayed_all(app, option, middle)["decisions"] for option in ("--since", "--until")]
    assert sum(halves) == 7


def test_a_damaged_log_is_named_with_its_place(app: typer.Typer, many: SmallStore) -> None:
    path = segments(many)[0]
    path.write_bytes(path.read_bytes().replace(b'"score":0', b'"score":1', 1))
    with pytest.raises(LifecycleError, match=segment_name(1)):
        said(app, "replay", "--all")


@pytest.mark.parametrize("arguments", [[], ["d1", "--all"], ["d1", "--model", MODEL], ["d1", "--since", "2026-01-01"]])
def test_one_decision_or_all_are_asked_for(app: typer.Typer, store: SmallStore, arguments: list[str]) -> None:
    assert store.settings.home.exists()
    assert runner.invoke(app, ["replay", *arguments]).exit_code == 2
