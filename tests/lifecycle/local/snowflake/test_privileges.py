import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from lifecycle.errors import LifecycleError
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.local.snowflake.grants import Account, Objects, read_account, statements
from lifecycle.local.snowflake.options import SETUP
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import STEPS, SnowflakeSettings, Step
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.interface import Use
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.reading.decisions import decision_definitions
from lifecycle.warehouse.snowflake.access.account_check import CheckReport, Show, check, held_by
from lifecycle.warehouse.snowflake.access.privileges import Need, Relation, excess, missing, needs, quoted
from lifecycle.warehouse.snowflake.failures import ConnectionLostError

ROLES: dict[str, Any] = {f"role_{step}": f"lifecycle_{step}" for step in STEPS}
WAREHOUSES: dict[str, Any] = {
    "warehouse": "lifecycle_read_wh", "warehouse_load": "lifecycle_load_wh",
    "warehouse_transform": "lifecycle_transform_wh", "warehouse_train": "lifecycle_train_wh",
}  # fmt: skip
SETTINGS = SnowflakeSettings(account="a", user="u", **ROLES, **WAREHOUSES)
PRIVILEGED = {"LIFECYCLE_LOAD", "LIFECYCLE_FAIRNESS"}
SCRIPT = list(statements(SETUP.read_text()))
EVERY_NEED = [(step, need) for step in STEPS for need in needs(SETTINGS, step)]
MARTS: list[Relation] = [("TABLE", "LIFECYCLE.MARTS.CARD_TRANSACTION_FEATURES")]


def show_of(account: Account, relations: list[Relation] | None = None, owners: Any = None) -> Show:
    """SHOW GRANTS of a script, without an endpoint."""

    def show(sql: str) -> list[dict[str, str]]:
        columns, rows = account.shown(sql, "U", Objects(relations or [], owners or {}))
        return [dict(zip(columns, map(str, row), strict=True)) for row in rows]

    return show


def account_of(script: list[str], folder: Path) -> Account:
    path = folder / "setup.sql"
    path.write_text(";\n".join(script))
    return read_account(path)


def without(need: Need, step: Step, script: list[str]) -> list[str]:
    """The script with one privilege of one role left out."""
    on = f"future {need.kind}s in schema {need.name}" if need.is_future else f"{need.kind} {need.name}"
    shorter = []
    for statement in script:
        found = re.fullmatch(r"grant (.*) on (.*) to role (\w+)", statement)
        if found and (found[2].upper(), found[3]) == (on.upper(), f"lifecycle_{step}"):
            left = [one for one in found[1].split(", ") if one.upper() != need.privilege]
            if left:
                shorter.append(f"grant {', '.join(left)} on {found[2]} to role {found[3]}")
        else:
            shorter.append(statement)
    assert shorter != script
    return shorter


@pytest.mark.parametrize("step", STEPS)
def test_the_script_grants_everything_that_a_step_needs(step: Step) -> None:
    held = held_by(f"LIFECYCLE_{step.upper()}", show_of(read_account(SETUP)))
    assert missing(needs(SETTINGS, step), held) == ()
    assert excess(SETTINGS, step, f"LIFECYCLE_{step.upper()}", held, PRIVILEGED) == ()


@pytest.mark.parametrize("step", STEPS)
def test_the_script_grants_a_step_nothing_that_it_does_not_need(step: Step) -> None:
    held = held_by(f"LIFECYCLE_{step.upper()}", show_of(read_account(SETUP)))
    granted = {(grant.privilege, grant.kind, grant.name, grant.is_future) for grant in held}
    assert granted == {(need.privilege, need.kind, need.name, need.is_future) for need in needs(SETTINGS, step)}


@pytest.mark.long
@pytest.mark.parametrize(("step", "need"), EVERY_NEED, ids=lambda value: getattr(value, "privilege", value))
def test_a_grant_that_is_left_out_is_named_and_nothing_else(step: Step, need: Need, tmp_path: Path) -> None:
    account = account_of(without(need, step, SCRIPT), tmp_path)
    for other in STEPS:
        held = held_by(f"LIFECYCLE_{other.upper()}", show_of(account))
        assert missing(needs(SETTINGS, other), held) == ((need,) if other == step else ())
    granted = account_of([*without(need, step, SCRIPT), need.grant(f"lifecycle_{step}").rstrip(";")], tmp_path)
    assert missing(needs(SETTINGS, step), held_by(f"LIFECYCLE_{step.upper()}", show_of(granted))) == ()


def test_there_is_a_need_for_every_step() -> None:
    assert {step for step, _ in EVERY_NEED} == set(get_args(Step))
    assert len(EVERY_NEED) > 40


def test_an_older_table_that_a_step_may_not_read_is_named(tmp_path: Path) -> None:
    script = [statement for statement in SCRIPT if " on all " not in statement and " on future " not in statement]
    held = held_by("LIFECYCLE_TRAIN", show_of(account_of(script, tmp_path)))
    lacking = missing(needs(SETTINGS, "train", MARTS), held)
    assert [need.grant("lifecycle_train") for need in lacking] == [
        "grant select on future tables in schema LIFECYCLE.MARTS to role LIFECYCLE_TRAIN;",
        "grant select on table LIFECYCLE.MARTS.CARD_TRANSACTION_FEATURES to role LIFECYCLE_TRAIN;",
    ]


def test_who_replaces_tables_has_to_own_them() -> None:
    show = show_of(read_account(SETUP), MARTS, {MARTS[0]: "SYSADMIN"})
    lacking = missing(needs(SETTINGS, "transform", MARTS), held_by("LIFECYCLE_TRANSFORM", show))
    (statement,) = [need.grant("lifecycle_transform") for need in lacking]
    table = MARTS[0][1]
    assert statement == f"grant ownership on table {table} to role LIFECYCLE_TRANSFORM copy current grants;"
    own = show_of(read_account(SETUP), MARTS, {MARTS[0]: "LIFECYCLE_TRANSFORM"})
    assert missing(needs(SETTINGS, "transform", MARTS), held_by("LIFECYCLE_TRANSFORM", own)) == ()


def test_who_changes_rows_that_another_made_has_to_be_granted_it() -> None:
    decisions: list[Relation] = [("TABLE", "LIFECYCLE.RAW.DECISIONS")]
    show = show_of(read_account(SETUP), decisions, {decisions[0]: "LIFECYCLE_LOAD"})
    lacking = missing(needs(SETTINGS, "log", decisions), held_by("LIFECYCLE_LOG", show))
    assert [need.privilege for need in lacking] == ["SELECT", "INSERT", "UPDATE", "DELETE"]


def test_roles_are_followed_as_far_as_they_are_inherited_and_not_in_circles(tmp_path: Path) -> None:
    script = [
        "create role a", "create role b", "create role c", "grant role b to role a", "grant role c to role b",
        "grant role a to role c", "grant usage on database lifecycle to role c",
    ]  # fmt: skip
    held = held_by("A", show_of(account_of(script, tmp_path)))
    assert [(grant.privilege, grant.name, grant.through) for grant in held] == [("USAGE", "LIFECYCLE", "C")]


@pytest.mark.parametrize("step", [step for step in STEPS if step not in {"load", "fairness"}])
@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("grant select on future tables in schema lifecycle.protected to role {0}", "revoke select on future tables"),
        ("grant usage on schema lifecycle.protected to role {0}", "revoke usage on schema LIFECYCLE.PROTECTED from"),
        ("grant role lifecycle_fairness to role {0}", "from role LIFECYCLE_FAIRNESS;"),
        ("grant manage grants on account to role {0}", "revoke manage grants on account from role"),
    ],
)
def test_a_role_that_could_read_protected_attributes_is_reported(
    step: Step, statement: str, remedy: str, tmp_path: Path
) -> None:
    role = f"lifecycle_{step}"
    held = held_by(role.upper(), show_of(account_of([*SCRIPT, statement.format(role)], tmp_path)))
    found = excess(SETTINGS, step, role.upper(), held, PRIVILEGED)
    assert found
    assert all(role.upper() in one.what for one in found)
    assert any(remedy in one.remedy for one in found)


def test_a_step_that_uses_the_role_of_the_fairness_gate_is_reported() -> None:
    (found,) = excess(SETTINGS, "train", "LIFECYCLE_FAIRNESS", (), PRIVILEGED)
    assert "LIFECYCLE_SNOWFLAKE_ROLE_TRAIN" in found.remedy


@pytest.mark.parametrize(
    ("name", "as_shown"),
    [("lifecycle", "LIFECYCLE"), ('"LIFECYCLE"', "LIFECYCLE"), ('"Mixed"', '"Mixed"'), ('a"; drop', '"a""; drop"')],
)
def test_names_are_written_as_the_account_shows_them_and_carry_no_statement(name: str, as_shown: str) -> None:
    assert quoted(name) == as_shown


def changed(settings: Settings, **named: Any) -> Settings:
    """The same settings but for some of Snowflake's."""
    old = settings.snowflake
    values = {name: getattr(old, name) for name in old.model_fields_set} | named
    return settings.model_copy(update={"snowflake": SnowflakeSettings(**values)})


def faults(report: CheckReport) -> list[str]:
    """All missing and excessive privileges, one line each."""
    lacks = [need.grant(step.role or "") for step in report.steps for need in step.missing]
    return [*lacks, *(one.what for step in report.steps for one in step.excess), *(one.what for one in report.excess)]


def test_an_account_that_the_script_has_set_up_is_ready_before_and_after_its_tables_are_made(
    account: LocalSnowflake, tmp_path: Path
) -> None:
    settings = account.settings(tmp_path)
    assert check(settings).is_ready
    load, log = open_warehouse(settings, Use("load")), open_warehouse(settings, Use("log"))
    load.ensure(raw_definitions(load.dialect))
    log.ensure(decision_definitions(log.dialect))
    report = check(settings)
    assert faults(report) == []
    assert report.is_ready
    assert not report.notes
    owned = {held.name for step in report.steps for held in step.held if held.privilege == "OWNERSHIP"}
    assert {"LIFECYCLE.PROTECTED.CUSTOMERS", "LIFECYCLE.RAW.DECISIONS"} <= owned


def test_the_check_changes_nothing(account: LocalSnowflake, tmp_path: Path) -> None:
    before = len(account.statements())
    check(account.settings(tmp_path))
    said = [line["sql"] for line in account.statements()[before:]]
    assert said
    assert all(re.match(r"(select|show) ", sql, re.IGNORECASE) for sql in said)


SAMPLES = [
    (step, need)
    for step, need in EVERY_NEED
    if (step, need.privilege, need.kind, need.is_future)
    in {
        ("load", "CREATE STAGE", "SCHEMA", False),
        ("log", "USAGE", "WAREHOUSE", False),
        ("fairness", "USAGE", "DATABASE", False),
        ("read", "SELECT", "VIEW", True),
    }
]


@pytest.mark.long
@pytest.mark.parametrize(("step", "need"), SAMPLES, ids=lambda value: getattr(value, "privilege", value))
def test_the_check_of_an_account_names_the_one_grant_that_is_missing(
    account: LocalSnowflake, tmp_path: Path, use_script: Any, step: Step, need: Need
) -> None:
    use_script(without(need, step, SCRIPT))
    report = check(account.settings(tmp_path))
    assert faults(report) == [need.grant(f"lifecycle_{step}")]
    assert not report.is_ready


def test_a_role_that_the_user_does_not_hold_is_that_steps_fault_alone(
    account: LocalSnowflake, tmp_path: Path, use_script: Any
) -> None:
    use_script([line for line in SCRIPT if line != "grant role lifecycle_train to user lifecycle"])
    report = check(account.settings(tmp_path))
    refused = {step.step: step.error for step in report.steps if step.error}
    assert list(refused) == ["train"]
    assert "390189" in (refused["train"] or "")
    assert faults(report) == []
    assert not report.is_ready


def test_one_role_for_every_step_is_a_role_too_many(account: LocalSnowflake, tmp_path: Path) -> None:
    one = {f"role_{step}": "lifecycle_fairness" for step in STEPS}
    report = check(changed(account.settings(tmp_path), **one))
    reported = {step.step for step in report.steps if step.excess}
    assert reported == {"transform", "train", "log", "read"}


def test_others_that_can_read_protected_attributes_are_reported(
    account: LocalSnowflake, tmp_path: Path, use_script: Any
) -> None:
    settings = account.settings(tmp_path)
    load = open_warehouse(settings, Use("load"))
    load.ensure(raw_definitions(load.dialect))
    opened = [
        "grant role lifecycle_fairness to role sysadmin",
        "create role analyst",
        "create role intern",
        "grant select on all tables in schema lifecycle.protected to role analyst",
        "grant select on future tables in schema lifecycle.protected to role intern",
    ]
    use_script([*(line.replace("default_secondary_roles = ()", "") for line in SCRIPT), *opened])
    report = check(settings)
    found = faults(report)
    assert [line.split()[0] for line in found] == ["Every", "SYSADMIN", *["ANALYST", "INTERN"] * 4, "INTERN"]
    tables = [line.split()[-1] for line in found if line.startswith("ANALYST")]
    names = [f"LIFECYCLE.PROTECTED.{name}" for name in ("CREDIT_PROTECTED", "CUSTOMERS")]
    assert sorted(tables) == sorted([*names, *(f"{name}_VERSIONS" for name in names)])
    assert all(one.remedy.startswith(("revoke ", "alter user ")) for one in report.excess)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"port": 9, "login_timeout_seconds": 1}, "LIFECYCLE_SNOWFLAKE_HOST"),
        ({"account": "other"}, "LIFECYCLE_SNOWFLAKE_ACCOUNT"),
        ({"user": "other"}, "LIFECYCLE_SNOWFLAKE_USER"),
        ({"password": SecretStr("planted-password")}, "LIFECYCLE_SNOWFLAKE_USER and the key, token or password"),
        ({"account": None}, "LIFECYCLE_SNOWFLAKE_ACCOUNT"),
        ({"authenticator": "planted-password"}, "LIFECYCLE_SNOWFLAKE_AUTHENTICATOR"),
        ({"token": SecretStr("planted-token")}, "LIFECYCLE_SNOWFLAKE_PASSWORD and LIFECYCLE_SNOWFLAKE_TOKEN"),
    ],
)
def test_a_wrong_setting_is_named(account: LocalSnowflake, tmp_path: Path, named: Any, expected: str) -> None:
    with pytest.raises(LifecycleError) as refused:
        check(changed(account.settings(tmp_path), **named))
    assert expected in str(refused.value)
    assert "planted" not in str(refused.value) or "authenticator" in named


def test_an_endpoint_that_is_not_there_is_asked_once(account: LocalSnowflake, tmp_path: Path) -> None:
    with pytest.raises(ConnectionLostError):
        check(changed(account.settings(tmp_path), port=9, login_timeout_seconds=1))


def test_a_refused_user_is_not_tried_with_every_role(account: LocalSnowflake, tmp_path: Path) -> None:
    before = len(account.statements())
    with pytest.raises(LifecycleError):
        check(changed(account.settings(tmp_path), password=SecretStr("planted-password")))
    assert len(account.statements()) == before


def keyed(account: LocalSnowflake, home: Path, key: Path, passphrase: str | None) -> Settings:
    secret = SecretStr(passphrase) if passphrase else None
    return changed(account.settings(home), password=None, private_key_file=key, private_key_passphrase=secret)


def test_the_registered_key_logs_in(account: LocalSnowflake, tmp_path: Path, keys: dict[str, Path]) -> None:
    assert check(keyed(account, tmp_path, keys["own"], "planted-passphrase")).is_ready


@pytest.mark.parametrize(
    ("key", "passphrase", "expected"),
    [
        ("own", "planted-mistake", "LIFECYCLE_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"),
        ("own", None, "LIFECYCLE_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"),
        ("other", "planted-passphrase", "LIFECYCLE_SNOWFLAKE_USER and PRIVATE_KEY_FILE"),
        ("public", "planted-passphrase", "LIFECYCLE_SNOWFLAKE_PRIVATE_KEY_FILE"),
    ],
)
def test_a_wrong_key_or_passphrase_is_named_and_not_shown(
    account: LocalSnowflake, tmp_path: Path, keys: dict[str, Path], key: str, passphrase: str | None, expected: str
) -> None:
    with pytest.raises(LifecycleError) as refused:
        check(keyed(account, tmp_path, keys[key], passphrase))
    assert expected in str(refused.value)
    assert "planted" not in str(refused.value)
