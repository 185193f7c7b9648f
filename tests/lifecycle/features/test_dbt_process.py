"""What the child process adds to the connections of dbt."""

import json
from typing import Any

import pytest
import snowflake.connector

from lifecycle.features.dbt import NodeRun, busy_seconds
from lifecycle.features.dbt_process import connect_with, further_arguments
from lifecycle.features.snowflake_login import login_environment, without_secrets
from lifecycle.settings.snowflake import SnowflakeSettings
from lifecycle.warehouse import Use


def test_each_connection_gets_what_a_profile_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(snowflake.connector, "connect", lambda **arguments: given.append(arguments))
    settings = SnowflakeSettings(
        account="a",
        user="u",
        warehouse="w",
        authenticator="OAUTH_CLIENT_CREDENTIALS",
        oauth_client_id="id",
        oauth_client_secret="planted",
        network_timeout_seconds=7,
    )
    environment = login_environment(settings, Use(step="transform", run_id="r"))
    assert environment["LIFECYCLE_DBT_AUTHENTICATOR"] == "oauth_client_credentials"
    assert "planted" not in environment["LIFECYCLE_DBT_CONNECTION"]
    connect_with(further_arguments(environment))
    snowflake.connector.connect(account="a", session_parameters={"OTHER": "kept"})
    (arguments,) = given
    assert arguments["account"] == "a"
    assert arguments["network_timeout"] == 7
    assert (arguments["oauth_client_id"], arguments["oauth_client_secret"]) == ("id", "planted")
    assert json.loads(arguments["session_parameters"]["QUERY_TAG"])["run_id"] == "r"
    assert arguments["session_parameters"]["OTHER"] == "kept"


def test_nothing_is_added_where_snowflake_is_not_the_target() -> None:
    assert further_arguments({"LIFECYCLE_TARGET": "duckdb"}) == {}


def test_a_secret_is_taken_out_of_a_text_wherever_it_stands() -> None:
    environment = {"DBT_ENV_SECRET_PASSWORD": "ab", "DBT_ENV_SECRET_TOKEN": "abc", "DBT_ENV_SECRET_EMPTY": "", "X": "y"}
    assert without_secrets("y ab abc", environment) == "y ***** *****"


def test_time_in_which_two_models_run_side_by_side_counts_once() -> None:
    ran = [(3.0, 13.0), (2.0, 12.5), (1.0, 20.0), (0.5, 20.0)]
    nodes = [NodeRun("model.features.m", "success", seconds, ended_at=ended_at) for seconds, ended_at in ran]
    assert busy_seconds(nodes) == pytest.approx(4.0)
    assert busy_seconds([]) == 0
