import json
import re
import struct
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from lifecycle.cli.release import register
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
    return app


def said(app: typer.Typer, *arguments: str, exit_code: int = 0) -> str:
    result = runner.invoke(app, list(arguments))
    if isinstance(result.exception, LifecycleError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.output


def test_promote_roll_back_and_look(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1)
    bundle = store.seal(2)
    assert "release 2 is in force" in said(app, "promote", MODEL, bundle, "--reason", "better [at] night")
    assert "as release 1 had it" in said(app, "rollback", MODEL, "--reason", "worse", "--standing", "2")
    table = said(app, "releases", MODEL)
    assert "rollback to 1" in table
    assert "better [at] night" in table
    history = json.loads(said(app, "releases", MODEL, "--json"))
    assert [release["number"] for release in history] == [1, 2, 3]
    assert "release 4 is in force" in said(app, "promote", MODEL, bundle, "--reason", "by hand it may come back")


@pytest.mark.parametrize(
    ("timeout_seconds", "fault"),
    [
        (0.1, "no end within 0.1 s"),
        pytest.param(
            60.0, "Dagster: .* MLflow: LifecycleError: champion: Expected a candidate", marks=pytest.mark.long
        ),
    ],
)
def test_a_mirror_that_fails_holds_up_no_rollback_and_is_an_alert(
    app: typer.Typer, store: SmallStore, monkeypatch: pytest.MonkeyPatch, timeout_seconds: float, fault: str
) -> None:
    for seed in (1, 2):
        store.publish(seed)
    store.settings.mlflow_dir.mkdir()
    monkeypatch.setattr("lifecycle.cli.mirror.TIMEOUT_SECONDS", timeout_seconds)
    answer = said(app, "rollback", MODEL, "--reason", "worse")
    assert "release 3 is in force" in answer
    assert re.search(f"The release is in force. Mirroring the release failed: .*{fault}", answer)
    assert f"run `lifecycle mirror {MODEL}`" in answer
    [line] = (store.settings.root / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "registry_failed"


def test_a_rollback_holds_automatic_promotion_until_a_person_resumes_it(app: typer.Typer, store: SmallStore) -> None:
    for seed in (1, 2):
        store.publish(seed)
    with pytest.raises(LifecycleError, match=r"Expected a rollback of .* that holds automatic promotion, found none"):
        said(app, "resume", MODEL, "--reason", "nothing to resume")
    answer = said(app, "rollback", MODEL, "--reason", "declines [too] many")
    assert f"`lifecycle resume {MODEL} --reason ...` allows it again" in answer
    assert "Automatic promotion is on hold: release 3 is a rollback by" in said(app, "releases", MODEL)
    assert "declines [too] many" in said(app, "releases", MODEL)
    answer = said(app, "resume", MODEL, "--reason", "a fix was trained")
    assert answer == f"{MODEL} may be promoted automatically again: the hold of release 3 is over.\n"
    assert "on hold" not in said(app, "releases", MODEL)


def test_a_pipe_gets_tables_whole_and_columns_sets_another_width(
    app: typer.Typer, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(1)
    reason = "a reason that is longer than the eighty columns which are taken for granted where there is no terminal"
    said(app, "promote", MODEL, store.seal(2), "--reason", reason)
    assert f" {reason} " in said(app, "releases", MODEL)
    monkeypatch.setenv("COLUMNS", "100")
    narrow = said(app, "releases", MODEL)
    assert reason not in narrow
    assert max(map(len, narrow.splitlines())) <= 100


def test_try_a_canary_and_a_shadow_and_end_them(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    said_of_canary = said(app, "canary", MODEL, b, "--percent", "2.5", "--reason", "a first try")
    assert (
        f"release 2 is in force, champion {store.releases.history(MODEL)[0].champion.bundle_digest}" in said_of_canary
    )
    assert f"canary {b} answers 2.5 %" in said_of_canary
    assert f"shadow {c}." in said(app, "shadow", MODEL, c, "--reason", "watch", "--after", "2")
    assert "answers 10 %" in said(app, "canary", MODEL, b, "--percent", "10", "--reason", "more")
    assert "canary" not in said(app, "end-canary", MODEL, "--reason", "worse")
    assert "shadow" not in said(app, "end-shadow", MODEL, "--reason", "seen")
    table = said(app, "releases", MODEL)
    for kind in ("promotion", "canary ended", "shadow ended", f"{b[:16]} 2.5 %"):
        assert kind in table
    history = json.loads(said(app, "releases", MODEL, "--json"))
    assert [release["number"] for release in history] == [1, 2, 3, 4, 5, 6]
    assert "release 7 is in force" in said(app, "canary", MODEL, b, "--percent", "1", "--reason", "by hand again")


def test_a_canary_without_a_percent_is_refused(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1)
    assert runner.invoke(app, ["canary", MODEL, store.seal(2), "--reason", "hurry"]).exit_code == 2
    with pytest.raises(LifecycleError, match="Expected a percent from 0 to 100, got 120"):
        said(app, "canary", MODEL, store.seal(2), "--percent", "120", "--reason", "hurry")


def test_a_bundle_that_does_not_verify_is_not_promoted_by_hand(app: typer.Typer, store: SmallStore) -> None:
    bundle = store.seal(1)
    (store.settings.release_store / "bundles" / bundle / "model.txt").write_text("tampered")
    with pytest.raises(LifecycleError, match=r"model\.txt"):
        said(app, "promote", MODEL, bundle, "--reason", "hurry")


def test_freeze_and_unfreeze(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1)
    said(app, "freeze", "--reason", "audit")
    assert "Promotion is frozen" in said(app, "releases", MODEL)
    with pytest.raises(LifecycleError, match="audit"):
        said(app, "promote", MODEL, store.seal(2), "--reason", "hurry")
    said(app, "unfreeze", "--reason", "over")
    said(app, "promote", MODEL, store.seal(2), "--reason", "now")


def test_a_reason_is_asked_for(app: typer.Typer) -> None:
    for command in (["freeze"], ["unfreeze"], ["rollback", MODEL], ["promote", MODEL, "0" * 64]):
        assert runner.invoke(app, command).exit_code == 2


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
