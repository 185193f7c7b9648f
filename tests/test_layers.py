"""The layers of both packages and the rules of LAYOUT: which module may import which."""

import graphlib

import pytest

from tests.harness.imports import PACKAGES, import_graph, imported, module_name, sources
from tests.harness.paths import ROOT

LAYERS = {
    "serving": (
        "errors settings storage",
        "contract",
        "artefacts log wire",
        "scoring",
        "access slots telemetry",
        "decisions",
        "http",
        "protocols",
        "process",
        "__main__",
    ),
    "lifecycle": (
        "console errors",
        "settings",
        "spec",
        "tables",
        "modelling",
        "gates monitoring signing",
        "artefacts",
        "releases reports",
        "warehouse",
        "features",
        "assets",
        "components defs",
        "definitions",
        "local",
        "cli",
    ),
}
"""From low to high: a package imports lower layers only, neither its own layer nor a higher one."""

ENTRIES = {"serving": 17, "lifecycle": 20}
"""Greatest number of files and folders at a package's top level, `__init__.py` not counted."""

FORBIDDEN = (
    ("serving", "lifecycle", ""),
    ("lifecycle", "serving", "contract storage artefacts scoring log errors online"),
    ("serving.scoring", "serving", "contract artefacts storage"),
    ("serving.log", "serving", "contract errors storage"),
    ("serving.artefacts", "serving", "contract errors storage"),
    ("serving.contract", "serving", ""),
    ("serving.storage", "serving", ""),
)
"""Importer, package that it must not import, and the parts of that package that it may import."""

ONLY_IMPORTER = (
    ("uvicorn", "serving.http.protocol serving.http.cycles serving.http.listener"),
    ("prometheus_client", "serving.telemetry"),
    ("opentelemetry", "serving.telemetry"),
)
"""A library, and the only modules or packages of the server that import it."""


def is_within(module: str, package: str) -> bool:
    """Whether a module is the package or below it."""
    return f"{module}.".startswith(f"{package}.")


def layer_of(module: str) -> int:
    """The layer of a module; -1 for the two packages' own `__init__`."""
    package, _, rest = module.partition(".")
    names = [layer.split() for layer in LAYERS[package]]
    return next((level for level, layer in enumerate(names) if rest.partition(".")[0] in layer), -1)


def package_of(module: str) -> str:
    """The package at the second level.

    >>> package_of("serving.http.routes.scores")
    'serving.http'
    """
    return ".".join(module.split(".")[:2])


def test_no_module_takes_part_in_an_import_cycle() -> None:
    assert list(graphlib.TopologicalSorter(import_graph()).static_order())


def test_no_package_takes_part_in_an_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for module, targets in import_graph().items():
        package = package_of(module)
        graph.setdefault(package, set()).update({package_of(target) for target in targets} - {package})
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_no_module_imports_its_own_layer_or_a_higher_one() -> None:
    upward = [
        f"{module} imports {target}"
        for module, targets in import_graph().items()
        for target in targets
        if module.partition(".")[0] == target.partition(".")[0]
        and package_of(module) != package_of(target)
        and layer_of(target) >= layer_of(module)
    ]
    assert sorted(upward) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_top_level_entry_has_one_layer_and_there_are_few(package: str) -> None:
    names = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    layered = [name for layer in LAYERS[package] for name in layer.split()]
    assert sorted(layered) == sorted(names - {"__init__"})
    ignored = {"__init__.py", "__pycache__"}
    entries = [path.name for path in (ROOT / package).iterdir() if path.name not in ignored]
    assert len(entries) <= ENTRIES[package], sorted(entries)


@pytest.mark.parametrize(("importer", "forbidden", "exceptions"), FORBIDDEN)
def test_a_package_imports_nothing_forbidden(importer: str, forbidden: str, exceptions: str) -> None:
    allowed = [importer, *(f"{forbidden}.{part}" for part in exceptions.split())]
    violations = [
        f"{module} imports {target}"
        for module, targets in import_graph().items()
        if is_within(module, importer)
        for target in targets
        if is_within(target, forbidden) and not any(is_within(target, package) for package in allowed)
    ]
    assert sorted(violations) == []


@pytest.mark.parametrize(("library", "allowed"), ONLY_IMPORTER)
def test_one_place_of_the_server_imports_a_library(library: str, allowed: str) -> None:
    importers = [
        module_name(path)
        for path in sources("serving")
        if any(is_within(target, library) for target in imported(path))
        and not any(is_within(module_name(path), place) for place in allowed.split())
    ]
    assert importers == []
