"""The import statements of the two packages, read from source: installed packages must not change the result."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.harness.paths import ROOT

PACKAGES = ("lifecycle", "serving")


def sources(*packages: str) -> list[Path]:
    """The source files of packages, which are named by their folder."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def file_name(path: Path) -> str:
    """The path relative to the checkout."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """The dotted name of a source file.

    >>> module_name(ROOT / "serving" / "http" / "__init__.py"), module_name(ROOT / "serving" / "errors.py")
    ('serving.http', 'serving.errors')
    """
    return file_name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def names(nodes: Iterator[ast.AST]) -> Iterator[tuple[str, list[str]]]:
    """The module of each import statement, with the names that it takes from that module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, [alias.name for alias in node.names]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    return {module for module, _ in names(ast.walk(ast.parse(path.read_text())))}


def imported_at_once(path: Path) -> set[str]:
    """The modules that are imported as soon as the file itself is imported."""
    return {module for module, _ in names(iter(ast.parse(path.read_text()).body))}


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """The modules of both packages that each of their modules imports; type-checking imports count, too."""
    modules = {module_name(path): path for path in sources(*PACKAGES)}
    graph = {}
    for module, path in modules.items():
        targets = set()
        for target, members in names(ast.walk(ast.parse(path.read_text()))):
            submodules = {f"{target}.{member}" for member in members} & modules.keys()
            targets |= submodules if len(submodules) == len(members) and members else submodules | {target}
        graph[module] = (targets & modules.keys()) - {module}
    return graph
