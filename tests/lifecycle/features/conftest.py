import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.features.builds import build, day_bounds
from lifecycle.features.dbt import run_dbt
from lifecycle.features.manifest import ensure_manifest, reuse_parsing
from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from serving.storage.locks import lock_file
from tests.harness.features_generated import RawRows, generate, insert
from tests.harness.in_process_build import SENTINEL_END, SENTINEL_START

MadeOnce = Callable[[str, Callable[[Path], None]], Path]


def settings_at(home: Path) -> Settings:
    return Settings(home=home, duckdb_memory_limit="1GB", duckdb_threads=1)


@pytest.fixture(scope="session")
def raw_rows() -> RawRows:
    return generate(seed=1)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Give the folder of this name, which the first test process of a run makes for all: nothing may change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder = root / name
        with lock_file(root / f"{name}.lock"):
            if not (folder / "made").is_file():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (folder / "made").touch()
        return folder

    return made


def copy_of(home: Path, target: Path) -> Settings:
    """An installation like the one of `home`."""
    return settings_at(shutil.copytree(home, target, symlinks=True))


@pytest.fixture(scope="session")
def loaded_once(once: MadeOnce, raw_rows: RawRows) -> Path:
    def make(folder: Path) -> None:
        settings = settings_at(folder / "home")
        insert(settings, raw_rows)
        ensure_manifest(settings)

    return once("loaded", make) / "home"


@pytest.fixture(scope="session")
def loaded(loaded_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation with filled raw tables, no features, and a parsed dbt project."""
    return copy_of(loaded_once, tmp_path_factory.mktemp("loaded") / "home")


@pytest.fixture(scope="session")
def built(once: MadeOnce, loaded_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The loaded installation with every day's features, from a first build through dbt."""

    def make(folder: Path) -> None:
        build(copy_of(loaded_once, folder / "home"))

    return copy_of(once("built", make) / "home", tmp_path_factory.mktemp("built") / "home")


@pytest.fixture(scope="session")
def compiled(once: MadeOnce, loaded_once: Path) -> Path:
    """Folder of the models' SQL as dbt compiles it for the days from SENTINEL_START to SENTINEL_END."""

    def make(folder: Path) -> None:
        settings = copy_of(loaded_once, folder / "home")
        reuse_parsing(settings, folder / "target")
        days = day_bounds(SENTINEL_START, SENTINEL_END)
        with open_warehouse(settings).exclusive("compiling"):
            run_dbt(settings, ["compile"], target_path=folder / "target", variables=days).expect_success("to compile")

    return once("compiled", make) / "target" / "compiled" / "features" / "models"


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
