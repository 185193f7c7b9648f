"""The rules of who may import whom, read from the source: what is installed here must not decide."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def imported_at_once(path: Path) -> Iterator[str]:
    """What a file imports as soon as it is imported itself."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources("serving"), ids=name)
def test_the_server_needs_nothing_of_the_platform(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imported(path)}
    assert roots - set(sys.stdlib_module_names) <= SERVING_MAY_IMPORT


@pytest.mark.parametrize("path", sources("serving"), ids=name)
def test_only_the_exporter_of_spans_needs_opentelemetry(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imported(path)}
    assert "opentelemetry" not in roots or name(path) == "serving/telemetry/span_export.py"
    assert "serving.telemetry.span_export" not in imported_at_once(path)


@pytest.mark.parametrize("path", sources("lifecycle/modelling", "lifecycle/gates", "lifecycle/monitoring"), ids=name)
def test_modelling_gates_and_monitoring_are_pure(path: Path) -> None:
    found = {part for module in imported(path) for part in (module, module.partition(".")[0])}
    found |= {".".join(module.split(".")[:2]) for module in imported(path)}
    assert found & PURE_MAY_NOT_IMPORT == set()


@pytest.mark.parametrize("path", sources("lifecycle/cli"), ids=name)
def test_a_command_imports_heavy_packages_only_when_it_runs(path: Path) -> None:
    assert {module.partition(".")[0] for module in imported_at_once(path)} & HEAVY == set()


@pytest.mark.parametrize("path", sources("serving"), ids=name)
def test_the_compiler_is_imported_only_when_a_model_is_explained(path: Path) -> None:
    assert {module.partition(".")[0] for module in imported_at_once(path)} & {"llvmlite", "numba"} == set()


def test_the_compiler_keeps_nothing_on_disk() -> None:
    # What numba caches it reads again with pickle.
    assert [name(path) for path in sources("serving") if "cache=True" in path.read_text()] == []


def test_the_server_holds_no_pickle() -> None:
    forbidden = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    assert [name(path) for path in sources("serving") if set(imported(path)) & forbidden] == []


def loaded_by(program: str) -> set[str]:
    """The packages that a fresh process holds once it has run a program."""
    code = f"{program}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_application_is_imported_without_what_takes_long() -> None:
    loaded = loaded_by("import serving.process.app")
    assert "serving" in loaded
    assert loaded & (HEAVY | {"confluent_kafka", "lifecycle", "llvmlite", "numba", "pyarrow", "scipy"}) == set()


def test_the_library_opens_without_the_package() -> None:
    loaded = loaded_by("from serving.scoring.lightgbm_library import library; library()")
    assert "serving" in loaded
    assert loaded & (HEAVY | {"scipy"}) == set()
