"""An audit tells what was done, field by field, and finds what was changed afterwards."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.erasure import erase
from serving.contract.documents import DecisionRecord
from serving.log.segments import line_of, record_of, segment_name
from tests.harness.audited_home import COMMIT, CUSTOMER, MODEL
from tests.harness.commands import said
from tests.harness.ledger_files import LedgerFiles
from tests.harness.logs import rejection
from tests.harness.toy_model import AS_OF
from tests.lifecycle.local.audit.conftest import Copy

pytestmark = pytest.mark.timeout(600)
VALUES = ("250.5", "gold", "t-first")
"""What the caller sent, as it would be printed."""


def audited(app: typer.Typer, decision_id: str, *options: str, exit_code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(said(app, "audit", decision_id, "--json", *options, exit_code=exit_code))
    return document


def outcomes(document: dict[str, Any], record: int = 0) -> dict[str, str]:
    """Outcome of each check of a record, and of those of all records."""
    checks = [*document["records"][record]["checks"], *document["checks"]]
    return {check["name"]: check["outcome"] for check in checks}


def failures(document: dict[str, Any], record: int = 0) -> set[str]:
    return {name for name, outcome in outcomes(document, record).items() if outcome == "failed"}


def segment(copy: Copy) -> Path:
    return copy.settings.decision_log_dir / segment_name(1)


def append(copy: Copy, *lines: bytes) -> None:
    """Write lines to a further segment, as another server would."""
    (copy.settings.decision_log_dir / segment_name(2)).write_bytes(b"".join(lines))


def record_named(copy: Copy, decision_id: str) -> DecisionRecord:
    records = map(record_of, segment(copy).read_bytes().splitlines(keepends=True))
    return next(one for one in records if isinstance(one, DecisionRecord) and one.decision_id == decision_id)


@pytest.mark.long
@pytest.mark.parametrize(
    ("decision_id", "bundle", "number", "before", "after"),
    [
        ("first", 0, 1, None, 2),
        ("second", 1, 2, 1, 3),
        ("back", 0, 3, 2, 4),
        ("frozen", 0, 4, 3, 5),
        ("canaried", 1, 5, 4, None),
    ],
)
def test_every_field_is_what_was_done(
    app: typer.Typer, copy: Copy, decision_id: str, bundle: int, number: int, before: int | None, after: int | None
) -> None:
    made, document = copy.made, audited(app, decision_id)
    part = next(one for one in document["records"] if one["decision"]["is_answer"])
    answer, candidate, release = made.answers[decision_id], made.candidates[bundle], made.releases[number - 1]
    told = part["decision"]
    assert {name: told[name] for name in ("score", "margin", "decision", "slot", "model")} == {
        name: answer[name] for name in ("score", "margin", "decision", "slot", "model")
    }
    assert told["bands"] == msgspec.to_builtins(candidate.deciding.bands)
    model = part["model"]
    assert (model["bundle_digest"], model["candidate_digest"]) == (made.bundles[bundle], candidate.digest)
    assert (model["training_set_digest"], model["as_of"]) == (made.training_set, AS_OF.isoformat())
    assert (model["code_commit"], model["seed"]) == (COMMIT, candidate.lineage.seed)
    assert model["library_versions"] == candidate.lineage.library_versions
    described = made.home.stores.training_sets(MODEL).describe(AS_OF.isoformat())
    assert part["training_data"] == {
        **{name: getattr(described, name) for name in ("digest", "as_of", "first_day", "end_day", "rows", "reported")},
        "rows_erased": 0,
    }
    assert part["releases"]["served"]["release"] == msgspec.to_builtins(release)
    neighbours = [
        part["releases"][side] and part["releases"][side]["release"]["number"] for side in ("before", "after")
    ]
    assert neighbours == [before, after]
    assert part["ledger"]["release_head"] == release.ledger_head
    run = f"run run-{bundle + 1}"
    kind = "rollback" if decision_id == "back" else "release"
    assert [(one["kind"], one["by"]) for one in part["ledger"]["entries"]] == [
        ("training", run),
        ("gates", run),
        ("registration", run),
        (kind, f"person {release.released_by}"),
        ("released", "platform release store"),
    ]
    assert part["replay"]["is_same"]
    assert set(outcomes(document).values()) == {"passed"}
    assert document["is_passed"]


def test_a_freeze_is_told_while_it_was_in_force_and_not_before_or_after(app: typer.Typer, copy: Copy) -> None:
    assert copy.made.answers.keys() >= {"shadowed", "frozen", "canaried"}
    freezes = [audited(app, one)["records"][0]["releases"]["freeze"] for one in ("shadowed", "frozen", "canaried")]
    assert [freezes[0], freezes[2]] == [None, None]
    assert (freezes[1]["changed_by"], freezes[1]["reason"]) == ("eve", "an audit")
    assert "frozen by eve" in said(app, "audit", "frozen")


def test_a_shadow_is_told_beside_the_answer_and_a_canary_as_who_decided(app: typer.Typer, copy: Copy) -> None:
    champion, shadow = audited(app, "shadowed")["records"]
    assert [champion["decision"]["is_answer"], shadow["decision"]["is_answer"]] == [True, False]
    assert [champion["model"]["bundle_digest"], shadow["model"]["bundle_digest"]] == [*copy.made.bundles]
    assert "recorded, never answered" in said(app, "audit", "shadowed")
    [canary] = audited(app, "canaried")["records"]
    assert canary["decision"]["slot"] == "canary"
    assert canary["releases"]["served"]["release"]["canary"]["percent"] == 100


def test_what_the_other_bundles_make_of_the_same_inputs(app: typer.Typer, copy: Copy) -> None:
    [part] = audited(app, "second", "--otherwise")["records"]
    answer = copy.made.answers["first"]
    assert part["alternatives"] == [
        {
            "bundle_digest": copy.made.bundles[0],
            "places": ["champion of release 1", "champion of release 3"],
            "score": answer["score"],
            "decision": answer["decision"],
            "unknown": None,
        }
    ]
    assert f"champion of release 3, bundle {copy.made.bundles[0][:12]}: " in said(app, "audit", "second", "--otherwise")
    shutil.rmtree(copy.settings.release_store / "bundles" / copy.made.bundles[0])
    [part] = audited(app, "second", "--otherwise")["records"]
    assert "missing" in part["alternatives"][0]["unknown"]


def test_what_the_caller_sent_is_shown_on_request_only(app: typer.Typer, copy: Copy) -> None:
    entity = record_named(copy, "first").entity_key
    for output in (said(app, "audit", "first"), said(app, "audit", "first", "--json")):
        assert not [value for value in (*VALUES, entity) if value in output]
    values = audited(app, "first", "--values")["records"][0]["decision"]["values"]
    assert values["features"] == {"amount": 250.5, "is_weekend": 1, "segment": "gold", "risk": 2.5}
    assert (values["transaction_id"], values["entity_key"]) == ("t-first", entity)
    shown = said(app, "audit", "first", "--values")
    assert all(value in shown for value in VALUES)


def test_the_inputs_of_an_erased_person_are_not_shown(app: typer.Typer, copy: Copy) -> None:
    erase(copy.settings, str(CUSTOMER), by="test", reason="asked")
    document = audited(app, "first", "--values")
    [part] = document["records"]
    assert (part["decision"]["erasures"], part["decision"]["values"]) == ([1], None)
    assert "the person was erased, erasure record 1" in part["unknown"]["values"]
    assert part["training_data"]["rows_erased"] > 0
    assert document["is_passed"]
    shown = said(app, "audit", "first", "--values")
    assert "of them erased since" in shown
    assert not [value for value in VALUES if value in shown]


def test_a_row_that_was_changed_and_has_no_longer_its_checksum_is_not_believed(app: typer.Typer, copy: Copy) -> None:
    path = segment(copy)
    path.write_bytes(path.read_bytes().replace(b'"transaction_id":"t-first"', b'"transaction_id":"t-other"', 1))
    with pytest.raises(LifecycleError, match="1 damaged lines name it, first: a wrong checksum - at"):
        said(app, "audit", "first")
    assert failures(audited(app, "second", exit_code=1)) == {"decision log"}


def test_a_row_that_was_written_again_differs_from_its_seal_and_its_replay(app: typer.Typer, copy: Copy) -> None:
    lines = segment(copy).read_bytes().splitlines(keepends=True)
    record = record_of(lines[0])
    assert isinstance(record, DecisionRecord)
    lines[0] = line_of(msgspec.structs.replace(record, score=0.001))
    segment(copy).write_bytes(b"".join(lines))
    document = audited(app, "first", exit_code=1)
    assert failures(document) == {"decision log", "replay"}
    assert [line["name"] for line in document["records"][0]["replay"]["lines"] if not line["is_same"]] == ["score"]
    assert "DIFFERS: recorded 0.001" in said(app, "audit", "first", exit_code=1)


def test_a_changed_bundle_is_found_and_nothing_it_says_is_told(app: typer.Typer, copy: Copy) -> None:
    path = copy.settings.release_store / "bundles" / copy.made.bundles[0] / "model.txt"
    path.write_bytes(path.read_bytes().replace(b"num_leaves", b"num_leavez", 1))
    document = audited(app, "first", exit_code=1)
    assert failures(document) == {"bundle", "replay"}
    [part] = document["records"]
    assert (part["model"], part["training_data"], part["decision"]["bands"]) == (None, None, None)
    assert "Expected digest" in part["unknown"]["model"]
    assert failures(audited(app, "second")) == set()


def test_a_missing_bundle_is_told(app: typer.Typer, copy: Copy) -> None:
    shutil.rmtree(copy.settings.release_store / "bundles" / copy.made.bundles[1])
    document = audited(app, "second", "--values", exit_code=1)
    assert failures(document) == {"bundle", "replay"}
    assert "is missing" in document["records"][0]["unknown"]["model"]
    assert [*document["records"][0]["decision"]["values"]["features"]] == ["1", "2", "3", "4"]
    assert "Not established:" in said(app, "audit", "second", exit_code=1)


@pytest.mark.parametrize(("removed", "decision_id", "is_before"), [(4, "first", True), (20, "first", False)])
def test_a_removed_ledger_record_is_found_before_or_after_the_release(
    app: typer.Typer, copy: Copy, removed: int, decision_id: str, is_before: bool
) -> None:
    files = LedgerFiles(copy.settings.release_store)
    del files.records[removed - 1]
    files.write()
    document = audited(app, decision_id, exit_code=1)
    assert failures(document) == {"ledger"} | ({"ledger up to the release"} if is_before else set())
    assert f"deleted: record {removed} is missing" in document["records"][0]["ledger"]["problems"][0]
    assert outcomes(document)["gates"] == ("unknown" if is_before else "passed")


def test_a_changed_release_is_found(app: typer.Typer, copy: Copy) -> None:
    path = copy.settings.release_store / "releases" / MODEL / "000001.json"
    path.write_bytes(path.read_bytes().replace(b"ana", b"eve"))
    document = audited(app, "first", exit_code=1)
    assert failures(document) == {"release", "ledger"}
    assert document["records"][0]["releases"]["served"] is None
    assert failures(audited(app, "second", exit_code=1)) == {"release", "ledger"}, "it follows the changed file"
    path.unlink()
    assert "is not in the release store" in said(app, "audit", "first", exit_code=1)


def test_a_release_that_never_had_the_bundle_is_found(app: typer.Typer, copy: Copy) -> None:
    record = msgspec.structs.replace(record_named(copy, "first"), decision_id="other", release_number=2)
    append(copy, line_of(record), line_of(msgspec.structs.replace(record, decision_id="none", release_number=9)))
    assert failures(audited(app, "other", exit_code=1)) == {"release"}
    assert "release 9 of toy is not in the release store" in said(app, "audit", "none", exit_code=1)


def test_a_server_that_was_late_is_told(app: typer.Typer, copy: Copy) -> None:
    late = msgspec.structs.replace(
        record_named(copy, "first"), decision_id="late", decided_at=copy.made.releases[1].released_at
    )
    early = msgspec.structs.replace(
        record_named(copy, "second"), decision_id="early", decided_at=copy.made.releases[0].released_at
    )
    append(copy, line_of(late), line_of(early))
    checks = {one["name"]: one for one in audited(app, "late")["records"][0]["checks"]}
    assert "still had release 1, 0.000 s after release 2" in checks["in force"]["detail"]
    assert checks["decision log"]["outcome"] == "unknown", "its segment is not sealed yet"
    checks = {one["name"]: one for one in audited(app, "early")["records"][0]["checks"]}
    assert (checks["in force"]["outcome"], "clocks" in checks["in force"]["detail"]) == ("unknown", True)


def test_segments_that_were_removed_are_named_and_an_archive_is_searched(
    app: typer.Typer, copy: Copy, tmp_path: Path
) -> None:
    shutil.copytree(copy.settings.decision_log_dir, tmp_path / "archive")
    segment(copy).unlink()
    with pytest.raises(LifecycleError, match=r"found no record in 0 segments; 1 segments, decided .* removed"):
        said(app, "audit", "first")
    assert audited(app, "first", "--log", str(tmp_path / "archive"))["is_passed"]


def test_a_removed_seal_is_found_once_a_later_segment_is_sealed(app: typer.Typer, copy: Copy) -> None:
    seal = copy.settings.decision_log_dir / "decisions-000000000001.seal.json"
    later = seal.with_name("decisions-000000000002.seal.json")
    append(copy, line_of(record_named(copy, "second")))
    later.write_bytes(seal.read_bytes())
    assert failures(audited(app, "first", exit_code=1)) == {"decision log"}, "the next seal names another one"
    seal.unlink()
    assert "a later segment is sealed" in said(app, "audit", "first", exit_code=1)


def test_an_unknown_decision_says_where_it_was_searched(app: typer.Typer, copy: Copy) -> None:
    append(copy, line_of(rejection(decision_id="refused", kind="InvalidRequest", status=422)))
    with pytest.raises(LifecycleError, match=r"found no record in 2 segments - in .*decision_log"):
        said(app, "audit", "fourth")
    with pytest.raises(LifecycleError, match="rejected and got no decision: InvalidRequest"):
        said(app, "audit", "refused")
    with pytest.raises(LifecycleError, match="found no record in 2 segments, model credit"):
        said(app, "audit", "first", "--model", "credit")
    shutil.rmtree(copy.settings.decision_log_dir)
    with pytest.raises(LifecycleError, match="Expected a decision log, found no folder"):
        said(app, "audit", "first")


def test_a_span_of_time_reads_only_its_segments(app: typer.Typer, copy: Copy) -> None:
    day = f"{record_named(copy, 'first').decided_at:%Y-%m-%d}"
    found = audited(app, "first", "--date", day, "--model", MODEL)
    assert (found["search"]["searched"], found["search"]["skipped"]) == (1, 0)
    with pytest.raises(LifecycleError, match=r"found no record in 0 segments, since .*, 1 others are outside the span"):
        said(app, "audit", "first", "--date", "2001-01-01")
    said(app, "audit", "first", "--date", day, "--since", day, exit_code=2)


def test_a_repeated_id_is_the_same_decision_or_two(app: typer.Typer, copy: Copy) -> None:
    first = record_named(copy, "first")
    append(copy, line_of(first))
    document = audited(app, "first")
    assert (document["search"]["count"], outcomes(document)["one decision"]) == (2, "passed")
    append(
        copy,
        line_of(
            msgspec.structs.replace(
                record_named(copy, "second"), decision_id="first", transaction_id=first.transaction_id
            )
        ),
    )
    assert outcomes(audited(app, "first"))["one decision"] == "unknown"
    append(copy, line_of(msgspec.structs.replace(first, transaction_id="another")))
    assert failures(audited(app, "first", exit_code=1)) == {"one decision"}
    append(copy, *[line_of(first)] * 30)
    document = audited(app, "first", exit_code=1)
    assert (document["search"]["count"], len(document["records"])) == (31, 20)


def test_a_failed_attempt_decided_nothing(app: typer.Typer, copy: Copy) -> None:
    attempt = msgspec.structs.replace(
        record_named(copy, "first"),
        decision_id="tried",
        error="ScoringError",
        score=None,
        margin=None,
        decision=None,
        bundle_digest=None,
        release_number=None,
    )
    append(copy, line_of(attempt))
    document = audited(app, "tried")
    [part] = document["records"]
    assert (part["replay"], part["decision"]["is_answer"]) == (None, False)
    assert part["unknown"]["replay"] == "nothing was decided: ScoringError"
    assert outcomes(document)["one decision"] == "unknown"
    assert "none, the attempt failed: ScoringError" in said(app, "audit", "tried")


def test_a_training_set_that_is_gone_is_told(app: typer.Typer, copy: Copy) -> None:
    shutil.rmtree(copy.settings.training_sets_dir)
    document = audited(app, "first")
    assert document["records"][0]["training_data"] is None
    assert copy.made.training_set in document["records"][0]["unknown"]["training_data"]
    assert "unknown rows" in said(app, "audit", "first")
