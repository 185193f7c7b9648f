"""Builds in Snowflake, by the real adapter at a local endpoint."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lifecycle.errors import LifecycleError
from lifecycle.features import build
from lifecycle.features.builds import day_bounds
from lifecycle.features.dbt import run_dbt
from lifecycle.features.manifest import ensure_manifest
from lifecycle.features.project import dbt_environment
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import SnowflakeSettings
from lifecycle.warehouse import Use, open_warehouse
from tests.harness.features_generated import DAYS, FEATURES_RELATION, FIRST_DAY, RawRows, generate, insert
from tests.harness.in_process_build import InProcessBuild
from tests.harness.snowflake_endpoint import own_database

ALL_FEATURES = f"select * from {FEATURES_RELATION} order by transaction_id"
SCRATCH = "select table_name from information_schema.tables where table_name like '%DBT_TMP%'"
PLANTED = "planted-secret-{{ 1 }}-'q'"


def _as_in(found: pa.Table, expected: pa.Table) -> pa.Table:
    """Snowflake's rows in DuckDB's types; Arrow refuses a cast that would change a value."""
    return found.select(expected.column_names).cast(expected.schema)


@pytest.fixture(scope="module")
def whole(compiled: Path, raw_rows: RawRows) -> pa.Table:
    built = InProcessBuild(compiled, raw_rows)
    built.build(FIRST_DAY, FIRST_DAY + dt.timedelta(days=DAYS))
    return built.features()


@pytest.mark.long
def test_a_first_build_gives_duckdbs_rows_to_the_bit(built_in_snowflake: Settings, whole: pa.Table) -> None:
    found = open_warehouse(built_in_snowflake).query(ALL_FEATURES)
    assert _as_in(found, whole).equals(whole)


@pytest.mark.long
def test_outcomes_are_the_reports_until_their_withdrawal(built_in_snowflake: Settings, raw_rows: RawRows) -> None:
    # Each made-up report begins a period: a second one comes after the withdrawal of the first.
    expected = raw_rows.reports.sort_by([("transaction_id", "ascending"), ("reported_at", "ascending")])
    found = open_warehouse(built_in_snowflake).query(
        "select * from marts.card_fraud_outcomes order by transaction_id, reported_at"
    )
    assert _as_in(found, expected).equals(expected)
    ended = found.filter(pc.is_valid(found["withdrawn_at"]))
    assert ended.num_rows == raw_rows.withdrawals.num_rows > 0


@pytest.fixture(scope="module")
def rebuilt(endpoint: LocalSnowflake, built_in_snowflake: Settings) -> list[dict[str, Any]]:
    """Statements of a build of three days after half of their rows were deleted."""
    start, end = FIRST_DAY + dt.timedelta(days=40), FIRST_DAY + dt.timedelta(days=43)
    with open_warehouse(built_in_snowflake).transaction("spoiling some days") as session:
        session.execute(
            f"delete from {FEATURES_RELATION} "
            f"where occurred_at >= date '{start}' and occurred_at < date '{end}' and mod(transaction_id, 2) = 0"
        )
    sent = len(endpoint.statements())
    use = Use(step="transform", model="card_fraud", asset="dbt_features", run_id="0badcafe")
    build(built_in_snowflake, start, end, use=use)
    return endpoint.statements()[sent:]


@pytest.mark.long
def test_a_range_is_rebuilt_in_one_transaction_and_leaves_no_scratch_table(
    built_in_snowflake: Settings, rebuilt: list[dict[str, Any]], whole: pa.Table
) -> None:
    warehouse = open_warehouse(built_in_snowflake)
    assert _as_in(warehouse.query(ALL_FEATURES), whole).equals(whole)
    assert warehouse.query(SCRATCH).num_rows == 0
    changes: dict[int, list[str]] = {}
    for line in rebuilt:
        verb = line["sql"].split()[0].lower()
        if verb in {"begin", "delete", "insert", "commit", "rollback"}:
            changes.setdefault(line["session"], []).append(verb)
    together = [verb for session in changes.values() for verb in session]
    manifest = json.loads(ensure_manifest(built_in_snowflake).read_bytes())
    by_days = [node for node in manifest["nodes"].values() if node["config"].get("incremental_strategy") == "days"]
    by_days = [node for node in by_days if node["config"]["materialized"] == "incremental"]
    assert {"card_transaction_features", "credit_client_features"} <= {node["name"] for node in by_days}
    assert together == ["begin", "delete", "insert", "commit"] * len(by_days)


@pytest.mark.long
def test_a_build_names_its_purpose_and_alters_no_session(
    built_in_snowflake: Settings, rebuilt: list[dict[str, Any]]
) -> None:
    tags = [json.loads(line["tag"]) for line in rebuilt if '"app": "dbt"' in line["sql"]]
    assert len(tags) > 30
    wanted = {"app": "lifecycle", "step": "transform", "model": "card_fraud", "asset": "dbt_features"}
    assert all(tag == wanted | {"run_id": "0badcafe"} for tag in tags)
    assert not [line["sql"] for line in rebuilt if "alter session" in line["sql"].lower()]
    assert {(line["role"], line["warehouse"]) for line in rebuilt} == {
        ("LIFECYCLE_TRANSFORM", "LIFECYCLE_TRANSFORM_WH")
    }
    parameters = rebuilt[0]["parameters"]
    assert parameters["TIMEZONE"] == "UTC"
    assert int(parameters["STATEMENT_TIMEOUT_IN_SECONDS"]) == built_in_snowflake.snowflake.statement_timeout_seconds


@pytest.mark.long
def test_a_build_whose_endpoint_dies_ends_with_an_error_and_comes_out_the_same_when_run_again(
    endpoint: LocalSnowflake, built_in_snowflake: Settings, whole: pa.Table
) -> None:
    start, end = FIRST_DAY + dt.timedelta(days=50), FIRST_DAY + dt.timedelta(days=52)
    impatient = built_in_snowflake.model_copy(
        update={"snowflake": built_in_snowflake.snowflake.model_copy(update={"network_timeout_seconds": 5})}
    )
    count = "select count(*) as row_count from intermediate.int_terminal_windows"
    before = open_warehouse(built_in_snowflake).query(count)
    endpoint.fault("insert into lifecycle.intermediate.int_terminal_windows", "kill")
    try:
        with pytest.raises(LifecycleError, match="Expected dbt to build the features"):
            build(impatient, start, end)
    finally:
        endpoint.restart()
    assert open_warehouse(built_in_snowflake).query(count).equals(before)
    build(built_in_snowflake, start, end)
    warehouse = open_warehouse(built_in_snowflake)
    assert _as_in(warehouse.query(ALL_FEATURES), whole).equals(whole)
    assert warehouse.query(SCRATCH).num_rows == 0


def test_a_missing_setting_is_named_before_dbt_starts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, target="snowflake", snowflake=SnowflakeSettings(account="a", password="p"))
    with pytest.raises(LifecycleError, match="no LIFECYCLE_SNOWFLAKE_USER") as caught:
        run_dbt(settings, ["parse"], target_path=tmp_path / "target")
    assert "LIFECYCLE_SNOWFLAKE_WAREHOUSE" in str(caught.value)
    assert not (tmp_path / "target").exists()


@pytest.fixture(scope="module")
def encrypted_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encryption = serialization.BestAvailableEncryption(PLANTED.encode())
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return path


@pytest.mark.long
@pytest.mark.parametrize("login", ["password", "key"])
def test_a_secret_is_in_no_error_and_in_no_file_of_dbt(
    login: str, endpoint: LocalSnowflake, tmp_path: Path, encrypted_key: Path
) -> None:
    secrets: dict[str, str | None] = (
        {"password": PLANTED}
        if login == "password"
        else {"password": None, "private_key_file": str(encrypted_key), "private_key_passphrase": PLANTED}
    )
    settings = endpoint.settings(tmp_path / "home")
    values = settings.snowflake.model_dump() | secrets | {"login_timeout_seconds": 5, "network_timeout_seconds": 5}
    refused = settings.model_copy(update={"snowflake": SnowflakeSettings(**values)})
    run = run_dbt(refused, ["debug"], target_path=tmp_path / "target", variables=day_bounds(None, None))
    with pytest.raises(LifecycleError) as caught:
        run.expect_success("to log in")
    text = str(caught.value) + repr(run)
    text += "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert "planted" not in text
    assert "BEGIN" not in text


def test_dbt_is_given_nothing_for_what_is_not_set(endpoint: LocalSnowflake, tmp_path: Path) -> None:
    environment = dbt_environment(endpoint.settings(tmp_path), tmp_path)
    assert environment["DBT_ENV_SECRET_PASSWORD"] == "local"
    unset = ("AUTHENTICATOR", "PRIVATE_KEY_FILE")
    assert not [name for name in unset if f"LIFECYCLE_DBT_{name}" in environment]
    assert not [name for name in environment if name.startswith("DBT_ENV_SECRET_") and "PASSWORD" not in name]
    assert not [name for name in dbt_environment(Settings(home=tmp_path), tmp_path) if "SECRET" in name]


def test_dbt_is_given_no_secret_under_another_name(
    endpoint: LocalSnowflake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE_SNOWFLAKE_PASSWORD", PLANTED)
    seen: list[dict[str, str]] = []

    def popen(*_arguments: object, env: dict[str, str], **_options: object) -> None:
        seen.append(env)
        raise OSError

    monkeypatch.setattr("lifecycle.features.dbt.subprocess.Popen", popen)
    settings = endpoint.settings(tmp_path)
    with pytest.raises(OSError):  # noqa: PT011 - our own
        run_dbt(settings, ["parse"], target_path=tmp_path / "target")
    assert PLANTED in os.environ["LIFECYCLE_SNOWFLAKE_PASSWORD"]
    assert [name for name, value in seen[0].items() if PLANTED in value] == []


def test_a_raw_table_that_only_the_loading_role_may_create_is_named(endpoint: LocalSnowflake, tmp_path: Path) -> None:
    settings = own_database(endpoint, tmp_path)
    insert(settings, generate(seed=2, rows=50))
    with open_warehouse(settings, Use("load")).session("a warehouse of an earlier version") as session:
        session.execute("drop table raw.report_withdrawals")
    with pytest.raises(LifecycleError, match=r"missing report_withdrawals .* `lifecycle warehouse status`"):
        build(settings)
