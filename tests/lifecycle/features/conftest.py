from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.features.builds import build, day_bounds
from lifecycle.features.dbt import run_dbt
from lifecycle.features.manifest import ensure_manifest, reuse_parsing
from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from tests.harness.features_generated import RawRows, generate, insert
from tests.harness.in_process_build import SENTINEL_END, SENTINEL_START


def settings_at(home: Path) -> Settings:
    return Settings(home=home, duckdb_memory_limit="1GB", duckdb_threads=1)


@pytest.fixture(scope="session")
def raw_rows() -> RawRows:
    return generate(seed=1)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, raw_rows: RawRows) -> Settings:
    """An installation with filled raw tables, no features, and a parsed dbt project."""
    settings = settings_at(tmp_path_factory.mktemp("loaded"))
    insert(settings, raw_rows)
    ensure_manifest(settings)
    return settings


@pytest.fixture(scope="session")
def built(loaded: Settings) -> Settings:
    """The loaded installation with every day's features, from a first build through dbt."""
    build(loaded)
    return loaded


@pytest.fixture(scope="session")
def compiled(loaded: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the models' SQL as dbt compiles it for the days from SENTINEL_START to SENTINEL_END."""
    target = tmp_path_factory.mktemp("compiled")
    reuse_parsing(loaded, target)
    with open_warehouse(loaded).exclusive("compiling"):
        run = run_dbt(loaded, ["compile"], target_path=target, variables=day_bounds(SENTINEL_START, SENTINEL_END))
    run.expect_success("to compile")
    return target / "compiled" / "features" / "models"


@pytest.fixture
def lifecycle_home(built: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The built installation, also for code that reads its settings from the environment."""
    monkeypatch.setenv("LIFECYCLE_HOME", str(built.root))
    monkeypatch.setenv("LIFECYCLE_DUCKDB_MEMORY_LIMIT", built.duckdb_memory_limit)
    monkeypatch.setenv("LIFECYCLE_DUCKDB_THREADS", str(built.duckdb_threads))
    monkeypatch.delenv("LIFECYCLE_PROFILE", raising=False)
    return built


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSnowflake]:
    """A local endpoint that the real connector and the real adapter connect to."""
    with running(tmp_path_factory.mktemp("endpoint")) as started:
        yield started


@pytest.fixture(scope="session")
def built_in_snowflake(
    endpoint: LocalSnowflake, tmp_path_factory: pytest.TempPathFactory, raw_rows: RawRows
) -> Settings:
    """The same rows as in `built`, loaded and built in Snowflake."""
    settings = endpoint.settings(tmp_path_factory.mktemp("snowflake"))
    insert(settings, raw_rows)
    build(settings)
    return settings
