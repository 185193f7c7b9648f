"""Only `serving.storage` renames, links, flushes and locks files: read from the source of both packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.paths import ROOT

STORAGE = ROOT / "serving" / "storage"
RESERVED = {
    "fdatasync", "flock", "fsync", "hardlink_to", "link", "lockf", "mkstemp", "NamedTemporaryFile", "rename",
    "renames",
}  # fmt: skip
RESERVED_MODULES = {"fcntl", "filelock"}


def reserved_uses(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=attribute) if attribute in RESERVED:
                yield attribute
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="replace")):
                yield "os.replace"
            # Of all methods called `replace`, only that of a path takes one positional argument and nothing else.
            case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
                yield "Path.replace"
            case ast.Import(names=names):
                yield from RESERVED_MODULES.intersection(alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names):
                yield from RESERVED_MODULES & {module}
                yield from RESERVED.intersection(alias.name for alias in names) if module == "os" else ()


SOURCES = sorted(
    path for package in ("lifecycle", "serving") for path in (ROOT / package).rglob("*.py") if path.parent != STORAGE
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_renames_links_flushes_or_locks_files(path: Path) -> None:
    assert list(reserved_uses(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "os.fsync(file.fileno())",
        "os.replace(old, new)",
        "temporary.replace(path)",
        "temporary.rename(path)",
        "os.link(temporary, path)",
        "import fcntl",
        "from os import fsync",
        "from filelock import FileLock",
    ],
)
def test_each_reserved_call_is_found(source: str) -> None:
    assert len(list(reserved_uses(source))) == 1


@pytest.mark.parametrize("source", ["text.replace('a', 'b')", "dataclasses.replace(value, a=1)", "now.replace(hour=0)"])
def test_other_methods_called_replace_are_allowed(source: str) -> None:
    assert list(reserved_uses(source)) == []
