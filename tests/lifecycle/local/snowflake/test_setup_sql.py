import logging
import re
from collections import Counter

import pytest
import sqlglot
from sqlglot import exp

from lifecycle.local.snowflake import environment
from lifecycle.local.snowflake.grants import read_account, statements
from lifecycle.local.snowflake.options import SETUP
from lifecycle.settings.snowflake import PREFIX, STEPS, SnowflakeSettings
from lifecycle.warehouse.interface import Definition
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.snowflake.warehouse import DIALECT

ONLY_AS_COMMANDS = (
    r"create role if not exists \w+ comment = '.*'",
    r"create user if not exists \w+ type = service .*",
    r"create schema if not exists lifecycle\.\w+ with managed access comment = '.*'",
    r"create resource monitor if not exists \w+ with credit_quota = \d+ frequency = monthly .*",
    r"alter warehouse \w+ set resource_monitor = \w+",
    r"alter user \w+ set default_secondary_roles = \(\)",
    r"grant role \w+ to (role|user) \w+",
    r"grant select on (future|all) (tables|views) in schema lifecycle\.\w+ to role \w+",
)
"""Administrators' statements that sqlglot takes as they are, without looking inside."""

STATEMENTS = list(statements(SETUP.read_text()))


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: text[:60])
def test_every_statement_is_snowflakes(statement: str) -> None:
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it says of each command that it does not look inside
    parsed = sqlglot.parse_one(statement, read="snowflake")
    if isinstance(parsed, exp.Command):
        assert any(re.fullmatch(known, statement) for known in ONLY_AS_COMMANDS)
    else:
        assert isinstance(parsed, exp.Create | exp.Grant | exp.Use)


def test_running_it_again_changes_nothing_that_is_there() -> None:
    verbs = Counter(statement.split()[0] for statement in STATEMENTS)
    assert set(verbs) == {"create", "grant", "use", "alter"}
    assert all(" if not exists " in statement for statement in STATEMENTS if statement.startswith("create"))
    set_again = ("set resource_monitor", "set default_secondary_roles")
    altered = [statement for statement in STATEMENTS if statement.startswith("alter")]
    assert all(any(words in statement for words in set_again) for statement in altered)


def test_every_schema_is_of_managed_access_and_has_what_the_tables_need() -> None:
    made = {
        found[1]
        for statement in STATEMENTS
        if (found := re.match(r"create schema if not exists lifecycle\.(\w+) with managed access", statement))
    }
    assert made == {"raw", "protected", "staging", "intermediate", "marts"}
    definitions: tuple[Definition, ...] = raw_definitions(DIALECT)
    assert {definition.name.partition(".")[0] for definition in definitions} <= made


def test_every_warehouse_suspends_is_bounded_in_time_and_watched() -> None:
    warehouses = [statement for statement in STATEMENTS if statement.startswith("create warehouse")]
    for statement in warehouses:
        name = statement.split()[5]
        for word in ("warehouse_size", "generation", "initially_suspended = true", "auto_suspend = 60"):
            assert word in statement
        assert re.search(r"statement_timeout_in_seconds = \d+", statement)
        assert re.search(r"statement_queued_timeout_in_seconds = \d+", statement)
        assert f"alter warehouse {name} set resource_monitor = lifecycle_monitor" in STATEMENTS
    assert {statement.split()[5].upper() for statement in warehouses} == read_account(SETUP).warehouses


def test_sessions_of_the_user_have_one_role_at_a_time() -> None:
    account = read_account(SETUP)
    assert account.user == "LIFECYCLE"
    assert account.secondary_roles == ""
    assert all(account.allows(f"LIFECYCLE_{step.upper()}") for step in STEPS)
    assert not account.allows("SYSADMIN")


def test_no_role_of_the_account_inherits_a_role_that_sees_protected_attributes() -> None:
    inherited = {role for role, to, _ in read_account(SETUP).members if to == "ROLE"}
    assert inherited == {"LIFECYCLE_TRANSFORM", "LIFECYCLE_TRAIN", "LIFECYCLE_LOG", "LIFECYCLE_READ"}


def test_what_the_local_endpoint_says_to_export_is_what_the_script_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    account = read_account(SETUP)
    for name, value in environment(1).items():
        monkeypatch.setenv(name, value)
    settings = SnowflakeSettings()
    assert {settings.role_of(step) for step in STEPS} <= account.roles
    assert {settings.warehouse_of(step) for step in STEPS} == account.warehouses
    assert environment(1)[f"{PREFIX}PORT"] == "1"


def test_no_secret_and_no_key_is_in_it() -> None:
    script = SETUP.read_text().lower()
    assert "password" not in script
    assert re.findall(r"rsa_public_key = '([^']*)'", script) == ["<public key>"]


def test_statements_are_split_outside_of_literals_and_comments() -> None:
    script = "-- a; b\nselect ';' as \"a;b\",\n   'it''s' /* ; */ ;;\n select $$ ; $$"
    assert list(statements(script)) == ["select ';' as \"a;b\", 'it''s'", "select $$ ; $$"]
