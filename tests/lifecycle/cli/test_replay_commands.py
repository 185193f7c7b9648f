"""A recorded decision is recomputed by the bundle that made it, and every difference is told."""

import json
import struct
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from lifecycle.cli.reproduce import register
from lifecycle.errors import LifecycleError
from serving.contract.documents import DecisionRecord, RejectionRecord
from serving.log.segments import line_of, record_of, segment_name
from serving.process.app import create_app
from tests.harness.api import settings_of
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


def said(app: typer.Typer, *arguments: str, exit_code: int = 0) -> str:
    result = runner.invoke(app, list(arguments))
    if isinstance(result.exception, LifecycleError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.output


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
