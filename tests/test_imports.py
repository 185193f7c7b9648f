"""Rules about the libraries that parts of the packages import, read from source: installed packages must not matter."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.imports import file_name, imported, imported_at_once, sources
from tests.harness.paths import ROOT

SERVING_MAY_IMPORT = {
    "confluent_kafka", "cryptography", "fastapi", "httptools", "llvmlite", "msgspec", "numba", "numpy", "opentelemetry",
    "prometheus_client", "pydantic", "pydantic_settings", "serving", "starlette", "uvicorn",
}  # fmt: skip
PURE_MAY_NOT_IMPORT = {
    "asyncio", "dagster", "duckdb", "httpx", "lifecycle.assets", "lifecycle.cli", "lifecycle.components",
    "lifecycle.artefacts", "lifecycle.releases", "lifecycle.reports", "lifecycle.settings", "lifecycle.warehouse",
    "mlflow", "os", "pathlib", "random", "requests", "shutil", "socket", "subprocess", "tempfile", "time",
}  # fmt: skip
HEAVY = {"dagster", "dbt", "duckdb", "evidently", "lightgbm", "matplotlib", "mlflow", "optuna", "pandas", "sklearn"}


@pytest.mark.parametrize("path", sources("serving"), ids=file_name)
def test_the_server_needs_nothing_of_the_platform(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imported(path)}
    assert roots - set(sys.stdlib_module_names) <= SERVING_MAY_IMPORT


@pytest.mark.parametrize("path", sources("serving"), ids=file_name)
def test_only_the_exporter_of_spans_needs_opentelemetry(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imported(path)}
    assert "opentelemetry" not in roots or file_name(path) == "serving/telemetry/span_export.py"
    assert "serving.telemetry.span_export" not in imported_at_once(path)


@pytest.mark.parametrize(
    "path", sources("lifecycle/modelling", "lifecycle/gates", "lifecycle/monitoring"), ids=file_name
)
def test_modelling_gates_and_monitoring_are_pure(path: Path) -> None:
    parts = [module.split(".") for module in imported(path)]
    packages = {".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}
    assert packages & PURE_MAY_NOT_IMPORT == set()


@pytest.mark.parametrize("path", sources("lifecycle/cli"), ids=file_name)
def test_a_command_imports_heavy_packages_only_when_it_runs(path: Path) -> None:
    assert {module.partition(".")[0] for module in imported_at_once(path)} & HEAVY == set()


@pytest.mark.parametrize("path", sources("serving"), ids=file_name)
def test_the_compiler_is_imported_only_when_a_model_is_explained(path: Path) -> None:
    assert {module.partition(".")[0] for module in imported_at_once(path)} & {"llvmlite", "numba"} == set()


def test_the_compiler_keeps_nothing_on_disk() -> None:
    # numba reads its cache with pickle.
    assert [file_name(path) for path in sources("serving") if "cache=True" in path.read_text()] == []


def test_the_server_holds_no_pickle() -> None:
    forbidden = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    assert [file_name(path) for path in sources("serving") if imported(path) & forbidden] == []


def loaded_by(program: str) -> set[str]:
    """The packages that a new process has imported after it ran a program."""
    code = f"{program}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    completed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(completed.stdout.split())


def test_the_application_imports_no_slow_package() -> None:
    loaded = loaded_by("import serving.process.app")
    assert "serving" in loaded
    assert loaded & (HEAVY | {"confluent_kafka", "lifecycle", "llvmlite", "numba", "pyarrow", "scipy"}) == set()


def test_the_lightgbm_library_opens_without_its_python_package() -> None:
    loaded = loaded_by("from serving.scoring.lightgbm_library import library; library()")
    assert "serving" in loaded
    assert loaded & (HEAVY | {"scipy"}) == set()
