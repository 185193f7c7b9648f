"""The models are written for Snowflake, too: compiled by its adapter and held against its documentation."""

import random
import re
import warnings
from pathlib import Path

import pytest

from lifecycle.features import build
from lifecycle.features.builds import day_bounds
from lifecycle.features.dbt import run_dbt
from lifecycle.features.docs import write_docs
from lifecycle.features.freshness import read_freshness
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import PROJECT_ROOT, Settings
from lifecycle.spec.derived_sql import column_sql
from tests.harness.derived_evaluators import random_features
from tests.harness.in_process_build import SENTINEL_END, SENTINEL_START
from tests.harness.random_expressions import FIELDS
from tests.harness.sql_check import FUNCTIONS_FILE, allowed_functions, problems
from tests.harness.sql_words import functions

with warnings.catch_warnings():
    # sqlglotrs, which sqlglot imports where it is installed, announces its end.
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    import sqlglot
    from sqlglot import exp

MODELS = PROJECT_ROOT / "dbt_project" / "models"
NAMES = sorted(path.stem for path in MODELS.rglob("*.sql"))
USED_BY = re.compile(r"^\| `(?P<name>\w+)` \| <\S+> \| (?P<users>[\w, ]+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def as_snowflake(built_in_snowflake: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the models' and tests' SQL as dbt-snowflake compiles it, for some days."""
    target = tmp_path_factory.mktemp("compiled_for_snowflake")
    run = run_dbt(
        built_in_snowflake,
        ["compile", "--exclude", "test_type:unit"],
        target_path=target,
        variables=day_bounds(SENTINEL_START, SENTINEL_END),
    )
    run.expect_success("to compile")
    return target / "compiled" / "features"


@pytest.fixture(scope="module")
def sent(endpoint: LocalSnowflake, built_in_snowflake: Settings) -> list[str]:
    """Every statement of two builds, of freshness and of the documentation."""
    build(built_in_snowflake, SENTINEL_START, SENTINEL_END)
    read_freshness(built_in_snowflake)
    write_docs(built_in_snowflake)
    return [line["sql"] for line in endpoint.statements()]


def _read(folder: Path, model: str) -> str:
    (path,) = (folder / "models").rglob(f"{model}.sql")
    return path.read_text()


def _rows_of(user: str) -> set[str]:
    return {
        row["name"]
        for row in USED_BY.finditer(FUNCTIONS_FILE.read_text())
        if user in [name.strip() for name in row["users"].split(",")]
    }


@pytest.mark.long
@pytest.mark.parametrize("model", NAMES)
def test_a_model_parses_as_snowflake_sql_and_comes_out_as_it_went_in(as_snowflake: Path, model: str) -> None:
    (statement,) = sqlglot.parse(_read(as_snowflake, model), read="snowflake")
    assert isinstance(statement, exp.Select)
    again = statement.sql(dialect="snowflake", unsupported_level=sqlglot.ErrorLevel.RAISE)
    assert sqlglot.parse_one(again, read="snowflake") == statement


@pytest.mark.long
@pytest.mark.parametrize("model", NAMES)
def test_a_model_has_nothing_that_snowflake_has_not(as_snowflake: Path, model: str) -> None:
    assert problems(_read(as_snowflake, model)) == []


@pytest.mark.long
def test_a_data_test_has_nothing_that_snowflake_has_not(as_snowflake: Path) -> None:
    tests = [path for path in as_snowflake.rglob("*.sql") if path.stem not in NAMES]
    assert len(tests) >= 30
    assert {path.name: found for path in tests if (found := problems(path.read_text()))} == {}


@pytest.mark.long
def test_nothing_that_a_build_sends_is_only_the_local_endpoints(sent: list[str]) -> None:
    assert len(sent) > 150
    assert {sql: found for sql in sent if (found := problems(sql))} == {}


@pytest.mark.long
def test_the_list_of_functions_has_what_dbt_uses_and_nothing_else(sent: list[str], as_snowflake: Path) -> None:
    used = {name for sql in sent if '"app": "dbt"' in sql for name in functions(sql)}
    used |= {name for path in as_snowflake.rglob("*.sql") for name in functions(path.read_text())}
    assert _rows_of("dbt") == used


def test_the_list_of_functions_has_nothing_that_python_does_not_send() -> None:
    sources = "".join(
        path.read_text().lower()
        for path in (PROJECT_ROOT / "lifecycle").rglob("*.py")
        if "local_snowflake" not in path.parts and not path.name.startswith("sql_")
    )
    assert [name for name in _rows_of("lifecycle") if not re.search(rf"\b{name}\(", sources)] == []


def test_each_function_is_listed_once_with_a_page_of_its_own() -> None:
    rows = [row["name"] for row in USED_BY.finditer(FUNCTIONS_FILE.read_text())]
    assert rows == sorted(set(rows)) == sorted(allowed_functions())
    pages = allowed_functions().values()
    assert len(set(pages)) == len(pages)
    assert all(link.startswith("https://docs.snowflake.com/en/sql-reference/functions/") for link in pages)


@pytest.mark.long
def test_no_model_reads_protected_attributes(as_snowflake: Path) -> None:
    compiled = "".join(path.read_text().lower() for path in as_snowflake.rglob("*.sql"))
    assert "staging.stg_card_transactions" in compiled
    assert "protected." not in compiled


@pytest.mark.long
def test_marts_last_and_tables_are_kept_by_day(sent: list[str]) -> None:
    texts = [" ".join(sql.lower().split()) for sql in sent]
    for mart in ("card_transaction_features", "card_fraud_outcomes"):
        assert any(text.startswith(f"create or replace table lifecycle.marts.{mart} (") for text in texts)
    for table in (name for name in NAMES if not name.startswith("stg_")):
        assert any(
            re.match(rf"alter table \S+\.{table} cluster by \(cast\(occurred_at as date\)\)", text) for text in texts
        )


@pytest.mark.parametrize("model", NAMES)
def test_a_model_has_the_silhouette_of_the_house(model: str) -> None:
    (path,) = MODELS.rglob(f"{model}.sql")
    text = re.sub(r"\{\{\s*config\(.*?\}\}|\{%-?.*?-?%\}|\{#.*?#\}", "", path.read_text(), flags=re.DOTALL).strip()
    assert text.startswith("with\n")
    assert text.endswith("final as (" + text.rpartition("final as (")[2])
    assert text.endswith("select * from final")


def test_derived_features_call_the_functions_on_the_list_and_nothing_that_snowflake_has_not() -> None:
    fields = {field.name: field for field in FIELDS}
    columns = [column_sql(feature, fields) for feature in random_features(random.Random(5), 300)]
    assert set().union(*map(functions, columns)) == _rows_of("derived")
    assert {sql: found for sql in columns if (found := problems(f"select {sql} from t"))} == {}
