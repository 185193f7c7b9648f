"""Private names of libraries that the code touches, with the versions that are known to have them.

A name in `PRIVATE_NAMES` has no public equivalent. The tests fail when an upgrade removes one, when the code touches
one that is not listed, and when a listed one is not needed any more.
"""

import ast
import functools
import importlib
import inspect
import re
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.paths import ROOT


class PrivateName(NamedTuple):
    """A private name of a library: `owner` is a module, or a module and a class divided by a colon."""

    owner: str
    name: str
    distribution: str
    bounds: str
    """Versions that pyproject.toml declares for the distribution."""


PRIVATE_NAMES = (
    # The only hook between a parsed head and the task that answers it.
    PrivateName(
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol", "_start_asgi_task", "uvicorn", ">=0.45,<0.55"
    ),
    # The type that `dg.define_asset_job` returns, for annotations only.
    PrivateName(
        "dagster._core.definitions.unresolved_asset_job_definition", "UnresolvedAssetJobDefinition",
        "dagster", ">=1.13.27,<1.14",
    ),
    # A backfill is found by its run's tag and cancelled as the UI cancels it.
    PrivateName("dagster._core.execution.backfill", "BulkActionStatus", "dagster", ">=1.13.27,<1.14"),
    PrivateName("dagster._core.execution.backfill", "PartitionBackfill", "dagster", ">=1.13.27,<1.14"),
    # A run's process id is in an event of this type; a test reports one for a process that it kills.
    PrivateName("dagster._core.events", "EngineEventData", "dagster", ">=1.13.27,<1.14"),
    # The local Snowflake endpoint translates errors of DuckDB and needs the connection for sessions.
    PrivateName("fakesnow.cursor:FakeSnowflakeCursor", "_execute", "fakesnow", ">=0.12"),
    PrivateName("fakesnow.cursor:FakeSnowflakeCursor", "_duck_conn", "fakesnow", ">=0.12"),
    # A documented constant whose name begins with an underscore.
    PrivateName("confluent_kafka:KafkaError", "_PARTITION_EOF", "confluent-kafka", ">=2.6"),
)  # fmt: skip

NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
"""Public names of `typing.NamedTuple`, underscored to keep clear of the fields."""
DOCUMENTED = {"_exit"}
"""Functions of the standard library that are public although their name begins with an underscore."""


@functools.cache
def sources() -> dict[Path, list[ast.AST]]:
    """The nodes of every file of the project, the module first.

    Parsing takes seconds, which each test process would spend while it collects, and so does each walk.
    """
    packages = ("serving", "lifecycle", "tests", "benchmarks")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    read = (ast.Module, ast.ClassDef, ast.Attribute, ast.Import, ast.ImportFrom, ast.Call)
    return {path: [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, read)] for path in paths}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in NAMED_TUPLE | DOCUMENTED


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def member_names(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names that the project's own classes define."""
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield member.name
                elif isinstance(member, ast.Assign | ast.AnnAssign):
                    targets = member.targets if isinstance(member, ast.Assign) else [member.target]
                    yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            yield node.attr


def module_names(module: ast.AST) -> Iterator[str]:
    """Functions and variables of the project's own modules."""
    assert isinstance(module, ast.Module)
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@functools.cache
def own_members() -> set[str]:
    return {name for nodes in sources().values() for name in member_names(nodes)}


@functools.cache
def own_module_names() -> set[str]:
    return {name for nodes in sources().values() for name in module_names(nodes[0])}


def touched_names(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Private names that a file reads from something that the project does not define."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            is_own = node.attr in own_members() and not is_super(node.value)
            if not is_own and not (isinstance(node.value, ast.Name) and node.attr in own_module_names()):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_own_module = node.module.partition(".")[0] in {"serving", "lifecycle", "tests", "benchmarks"}
            is_private_module = any(map(is_private, node.module.split(".")))
            if not is_own_module:
                yield from (alias.name for alias in node.names if is_private_module or is_private(alias.name))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if any(map(is_private, alias.name.split("."))))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"getattr", "setattr"}:
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
            if isinstance(name, str) and is_private(name) and name not in own_members():
                yield name


@pytest.mark.long
def test_the_code_touches_exactly_the_listed_private_names() -> None:
    touched: dict[str, list[Path]] = {}
    for path, nodes in sources().items():
        for name in touched_names(nodes):
            touched.setdefault(name, []).append(path.relative_to(ROOT))
    listed = {private.name for private in PRIVATE_NAMES}
    assert {name: paths for name, paths in touched.items() if name not in listed} == {}
    # A listed name may also be one of the project's own, such as `_context`.
    attributes = {node.attr for nodes in sources().values() for node in nodes if isinstance(node, ast.Attribute)}
    assert listed - touched.keys() - attributes == set()


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=lambda private: private.name)
def test_the_library_still_has_the_private_name(private: PrivateName) -> None:
    module, _, class_name = private.owner.partition(":")
    with warnings.catch_warnings():
        # fakesnow imports sqlglot, which imports sqlglotrs where it is installed.
        warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
        owner = importlib.import_module(module)
    if class_name:
        owner = getattr(owner, class_name)
    # An instance's attribute shows in the source of its class only.
    assert hasattr(owner, private.name) or f"self.{private.name}" in inspect.getsource(owner)


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=lambda private: private.name)
def test_the_bounds_are_those_that_the_project_declares(private: PrivateName) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    pattern = re.compile(rf"{re.escape(private.distribution)}(\[.*\])?(?P<bounds>[<>=!~].*)")
    bounds = {match["bounds"] for group in groups for line in group if (match := pattern.fullmatch(line))}
    assert bounds == {private.bounds}
