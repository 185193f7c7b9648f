import errno
import json
import os
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lifecycle.cli.release import register
from lifecycle.cli.release_tables import switches_document, switches_lines
from lifecycle.errors import LifecycleError
from lifecycle.releases.alert_log import ALERTS_FILE
from lifecycle.settings.child_environment import user_name
from lifecycle.signing.keys import ensure_keys
from tests.harness.commands import said
from tests.harness.small_models import MODEL, SmallStore

runner = CliRunner()


@pytest.fixture
def app(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    monkeypatch.delenv("COLUMNS", raising=False)
    app = typer.Typer()
    register(app)
    return app


def test_promote_roll_back_and_look(app: typer.Typer, store: SmallStore) -> None:
    store.publish(1)
    bundle = store.seal(2)
    assert "release 2 is in force" in said(app, "promote", MODEL, bundle, "--reason", "better [at] night")
    assert "as release 1 had it" in said(app, "rollback", MODEL, "--reason", "worse", "--after", "2")
    table = said(app, "releases", MODEL)
    assert "rollback to 1" in table
    assert "better [at] night" in table
    history = json.loads(said(app, "releases", MODEL, "--json"))["releases"]
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
    lines = (store.settings.root / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["promotion_held", "registry_failed"]


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


def test_the_hold_of_a_rollback_is_in_the_json_and_one_alert(app: typer.Typer, store: SmallStore) -> None:
    for seed in (1, 2):
        store.publish(seed)
    shown = json.loads(said(app, "releases", MODEL, "--json"))
    assert (shown["model"], shown["freeze"], shown["promotion_hold"]) == (MODEL, None, None)
    for _ in range(2):
        document = json.loads(said(app, "rollback", MODEL, "--reason", "worse", "--after", "2", "--json"))
        assert (document["number"], document["restores"]) == (3, 1)
    said(app, "freeze", "--reason", "audit")
    shown = json.loads(said(app, "releases", MODEL, "--json"))
    hold = shown["promotion_hold"]
    assert (hold["release_number"], hold["reason"], hold["held_by"]) == (3, "worse", user_name())
    assert hold["resume_with"] == f"lifecycle resume {MODEL} --reason ..."
    assert (shown["freeze"]["is_frozen"], shown["freeze"]["reason"]) == (True, "audit")
    [alert] = [json.loads(line) for line in (store.settings.root / ALERTS_FILE).read_text().splitlines()]
    assert (alert["kind"], alert["model"]) == ("promotion_held", MODEL)
    assert "release 3 is a rollback by" in alert["message"]
    assert f"lifecycle resume {MODEL}" in alert["remedy"]
    resumed = json.loads(said(app, "resume", MODEL, "--reason", "fixed", "--json"))
    assert resumed["release_number"] == 3
    assert json.loads(said(app, "releases", MODEL, "--json"))["promotion_hold"] is None
    assert json.loads(said(app, "unfreeze", "--reason", "over", "--json"))["is_frozen"] is False


def test_a_rollback_whose_alert_cannot_be_written_is_in_force_and_warns(app: typer.Typer, store: SmallStore) -> None:
    for seed in (1, 2):
        store.publish(seed)
    (store.settings.root / ALERTS_FILE).mkdir()
    answer = said(app, "rollback", MODEL, "--reason", "worse")
    assert "release 3 is in force" in answer
    assert "Warning: the alert could not be written, Is a directory" in answer


@pytest.mark.parametrize("command", ["promote", "shadow"])
def test_the_beginning_of_a_digest_from_the_table_is_enough(
    app: typer.Typer, store: SmallStore, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = store.publish(1).champion.bundle_digest
    tried = store.seal(2)
    said(app, "canary", MODEL, tried[:12], "--percent", "1", "--reason", "try")
    monkeypatch.setenv("COLUMNS", "80")
    [shown] = set(re.findall(r"\b[0-9a-f]{12}\b", said(app, "releases", MODEL))) - {champion[:12]}
    said(app, "end-canary", MODEL, "--reason", "seen")
    assert tried in said(app, command, MODEL, shown, "--reason", "better")


def test_eighty_columns_show_every_digest_date_and_word(
    app: typer.Typer, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = store.publish(1).champion.bundle_digest
    tried, watched = store.seal(2), store.seal(3)
    said(app, "canary", MODEL, tried, "--percent", "2.5", "--reason", "a first try of the model with more trees")
    said(app, "shadow", MODEL, watched, "--reason", "watch")
    monkeypatch.setenv("COLUMNS", "80")
    table = said(app, "releases", MODEL)
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    for shown in (champion[:12], tried[:12], watched[:12], "2026-01-01", "trees", "watch"):
        assert shown in table


@pytest.mark.parametrize(
    "arguments",
    [
        ("releases",), ("rollback", "--reason", "r"), ("resume", "--reason", "r"), ("end-canary", "--reason", "r"),
        ("end-shadow", "--reason", "r"),
    ],
    ids=lambda arguments: str(arguments[0]),
)  # fmt: skip
def test_an_unknown_model_is_an_error_with_suggestions(
    app: typer.Typer, store: SmallStore, arguments: tuple[str, ...]
) -> None:
    store.publish(1)
    with pytest.raises(LifecycleError, match=r"got 'card_fruad'; did you mean card_fraud\?"):
        said(app, arguments[0], "card_fruad", *arguments[1:])


def test_a_model_with_a_file_and_no_releases_has_an_empty_table(app: typer.Typer, store: SmallStore) -> None:
    assert json.loads(said(app, "releases", MODEL, "--json"))["releases"] == []
    assert f"Releases of {MODEL}" in said(app, "releases", MODEL)


def without_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes this process one of a user id without an entry in passwd, as `docker run --user 4711` does."""

    def unknown(user_id: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user_id}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    return f"uid {os.getuid()}"


def test_emergency_commands_work_for_a_user_id_without_a_name(
    app: typer.Typer, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        store.publish(seed)
    person = without_name(monkeypatch)
    said(app, "freeze", "--reason", "fire")
    said(app, "rollback", MODEL, "--reason", "fire")
    said(app, "unfreeze", "--reason", "out")
    said(app, "resume", MODEL, "--reason", "out")
    turn = store.releases.switches.last_turn()
    assert turn is not None
    assert (turn.changed_by, store.releases.history(MODEL)[-1].released_by) == (person, person)


def test_emergency_commands_say_that_the_home_is_read_only(
    app: typer.Typer, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        store.publish(seed)
    root = store.settings.release_store

    def read_only(path: object, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *mode)  # type: ignore[arg-type]

    opened = os.open
    monkeypatch.setattr("os.open", read_only)
    for arguments in (("freeze", "--reason", "fire"), ("rollback", MODEL, "--reason", "fire")):
        with pytest.raises(LifecycleError) as caught:
            said(app, *arguments)
        assert f"Expected to write to the release store, got read-only file system - at {root}" in str(caught.value)
        assert "the servers go on with the releases that are there" in str(caught.value)
    monkeypatch.undo()
    assert len(store.releases.history(MODEL)) == 2


def test_keys_that_this_user_cannot_read_are_named(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(LifecycleError, match=r"got permission denied - at .*signing_key\.pem; run the command as the"):
        ensure_keys(store.settings)


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
    for kind in ("promotion", "canary ended", "shadow ended", f"{b[:12]} 2.5 %"):
        assert kind in table
    history = json.loads(said(app, "releases", MODEL, "--json"))["releases"]
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


def test_the_status_shows_a_freeze_and_every_hold(store: SmallStore) -> None:
    assert switches_document(store.releases) == {"freeze": None, "promotion_holds": {}}
    assert switches_lines(store.releases) == []
    for seed in (1, 2):
        store.publish(seed)
    store.releases.rollback(MODEL, by="anna", reason="worse")
    store.releases.switches.freeze(by="ben", reason="audit")
    document = switches_document(store.releases)
    assert document["freeze"]["reason"] == "audit"
    assert document["promotion_holds"][MODEL]["release_number"] == 3
    frozen, held = switches_lines(store.releases)
    assert frozen == "Promotion is frozen by ben: audit"
    assert held.startswith(f"Automatic promotion of {MODEL} is on hold: release 3 is a rollback by anna at")
