"""The models are written for Snowflake, too."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lifecycle.features.project import dbt_environment
from lifecycle.settings import PROJECT_ROOT, Settings
from lifecycle.warehouse import open_warehouse

with warnings.catch_warnings():
    # sqlglotrs, which sqlglot imports where it is installed, announces its end.
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    import sqlglot
    from sqlglot import exp

MODELS = PROJECT_ROOT / "dbt_project" / "models"
NAMES = sorted(path.stem for path in MODELS.rglob("*.sql"))

COMPILE_AS_SNOWFLAKE = """
import sys
from dbt.context import providers

# Snowflake's adapter is not installed: only the search for our own macros is told that it is in use.
mine = providers.BaseDatabaseWrapper._get_adapter_macro_prefixes
providers.BaseDatabaseWrapper._get_adapter_macro_prefixes = lambda self: ["snowflake", *mine(self)]

from dbt.cli.main import cli

sys.argv = ["dbt", "compile"]
cli()
"""


@pytest.fixture(scope="module")
def as_snowflake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the models' SQL with the macros that Snowflake would be given."""
    home = tmp_path_factory.mktemp("snowflake")
    settings = Settings(home=home)
    open_warehouse(settings)
    environment = {**dbt_environment(settings, home / "target"), "PATH": "", "HOME": str(home)}
    completed = subprocess.run(
        [sys.executable, "-c", COMPILE_AS_SNOWFLAKE],
        cwd=settings.dbt_project_dir,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout
    return home / "target" / "compiled" / "features" / "models"


def _read(folder: Path, model: str) -> str:
    (path,) = folder.rglob(f"{model}.sql")
    return path.read_text()


@pytest.mark.parametrize("model", NAMES)
def test_a_model_parses_as_snowflake_sql_and_comes_out_as_it_went_in(as_snowflake: Path, model: str) -> None:
    (statement,) = sqlglot.parse(_read(as_snowflake, model), read="snowflake")
    assert isinstance(statement, exp.Select)
    again = statement.sql(dialect="snowflake", unsupported_level=sqlglot.ErrorLevel.RAISE)
    assert sqlglot.parse_one(again, read="snowflake") == statement


@pytest.mark.parametrize("model", NAMES)
def test_a_model_uses_no_function_that_only_duckdb_has(as_snowflake: Path, model: str) -> None:
    sql = _read(as_snowflake, model).lower()
    for word in (
        "epoch_us",
        "isodow",
        "asof",
        "list_",
        "struct",
        "exclude (",
        "replace (",
        "::",
        "filter (",
        "qualify",
    ):
        assert word not in sql, word
    assert not re.search(r"\bwindow\s+\w+\s+as\b", sql), "a named window, which fakesnow does not know"


@pytest.mark.parametrize("model", NAMES)
def test_a_model_has_the_silhouette_of_the_house(model: str) -> None:
    (path,) = MODELS.rglob(f"{model}.sql")
    text = re.sub(r"\{\{\s*config\(.*?\}\}|\{%-?.*?-?%\}|\{#.*?#\}", "", path.read_text(), flags=re.DOTALL).strip()
    assert text.startswith("with\n")
    assert text.endswith("final as (" + text.rpartition("final as (")[2])
    assert text.endswith("select * from final")


def test_the_microseconds_and_weekdays_are_snowflakes(as_snowflake: Path) -> None:
    assert "date_part(epoch_microsecond, " in _read(as_snowflake, "int_customer_windows")
    assert "dayofweekiso(" in _read(as_snowflake, "card_transaction_features")
