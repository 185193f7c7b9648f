"""The dbt packages in the folder of models, and their faults that show without dbt."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, TemplateSyntaxError

from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import MODELS_DIR, dbt_projects, property_files, read_yaml
from lifecycle.spec.ref_graph import RefGraph, ref_graph
from lifecycle.spec.suggestions import suggestion

SHIPPED = "features"
"""Name of the shipped dbt project."""
SHARED = "shared"
"""Package of the folder of models itself, for what several models read."""
PROJECT_FILE = "dbt_project.yml"
PARTS = (MODELS_DIR, "macros", "tests", "seeds", "snapshots", "analyses")
LAYERS = ("staging", "intermediate", "marts")
_RESERVED = (SHIPPED, "dbt", "dbt_duckdb", "dbt_snowflake")


@dataclass(frozen=True)
class Package:
    """A dbt package: the one that models share, or that of the model of its name."""

    name: str
    folder: Path


def packages(settings: Settings) -> tuple[Package, ...]:
    """The packages of the folder of models, the shared one first."""
    _, *folders = dbt_projects(settings)
    return tuple(
        Package(SHARED if folder.parent == settings.models else folder.parent.name, folder) for folder in folders
    )


def quick_faults(settings: Settings) -> dict[str, str]:
    """What is wrong with each faulty package, by its name: what shows in a moment; dbt finds the rest as it parses."""
    graph = ref_graph(dbt_projects(settings))
    found = {package.name: list(_faults(package, graph)) for package in packages(settings)}
    return {name: "; ".join(faults) for name, faults in found.items() if faults}


def _faults(package: Package, graph: RefGraph) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package.name) or package.name in _RESERVED:
        yield f"Expected a folder whose name can be that of a dbt package, got {package.name!r} - at {package.folder}"
    yield from _project_faults(package)
    for path in property_files(package.folder):
        try:
            read_yaml(path)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            yield f"Expected readable YAML, got: {' '.join(str(error).split())} - in {path}"
    for path in sorted((package.folder / MODELS_DIR).rglob("*.sql")):
        yield from _model_faults(package, path, graph)


def _project_faults(package: Package) -> Iterator[str]:
    path = package.folder / PROJECT_FILE
    if not path.is_file():
        return
    try:
        file = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        yield f"Expected readable YAML, got: {' '.join(str(error).split())} - in {path}"
        return
    name = file.document.get("name") if isinstance(file.document, dict) else None
    if name != package.name:
        line = f", line {file.line(['name'])}" if file.has(["name"]) else ""
        yield f"Expected the name of the package, {package.name!r}, got {name!r} - at `name`{line} - in {path}"


def _model_faults(package: Package, path: Path, graph: RefGraph) -> Iterator[str]:
    layer = path.relative_to(package.folder / MODELS_DIR).parts[0]
    if layer not in LAYERS:
        yield f"Expected a model below {', '.join(LAYERS)}, which are its schemas, got {layer!r} - at {path}"
        return
    try:
        Environment(autoescape=False, extensions=["jinja2.ext.do"]).parse(path.read_text())  # noqa: S701 - parsed only
    except TemplateSyntaxError as error:
        yield f"Expected Jinja that parses, got: {error.message} - at line {error.lineno} - in {path}"
    except (OSError, UnicodeDecodeError) as error:
        yield f"Expected a readable text file, got {type(error).__name__} - at {path}"
    if graph.models[path.stem].path != path:
        yield f"Expected a name that no other dbt model has, got that of {graph.models[path.stem].path} - in {path}"
    unknown = sorted(graph.models[path.stem].models - graph.models.keys())
    for name in unknown:
        near = suggestion(name, graph.models, "dbt model")
        yield f"Expected a dbt model, got ref('{name}'){near} - in {path}"
