"""Which models and raw tables each dbt model reads, from the text of its SQL: quick, and without dbt.

Only names written as text are found: ``ref('x')``, ``ref('package', 'x')`` and ``source('raw', 'x')``. A name that
Jinja computes is not, so that what reads this graph lets a person name the table instead.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.spec.dbt_projects import MODELS_DIR

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CALL = re.compile(r"\b(ref|source)\(\s*((?:['\"]\w+['\"]\s*,\s*)?)['\"](\w+)['\"]")


@dataclass(frozen=True)
class DbtModel:
    """A model: its file, its layer (the folder below ``models/``), and the names that it reads."""

    name: str
    path: Path
    layer: str
    models: frozenset[str]
    tables: frozenset[str]
    """Tables of sources, without the source's name."""

    @property
    def relation(self) -> str:
        """Schema and name of what it builds: the layer is the schema."""
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True)
class RefGraph:
    """The models of all projects by name."""

    models: Mapping[str, DbtModel]

    def upstream(self, name: str) -> set[str]:
        """A model and all models that it reads, directly or not."""
        found: set[str] = set()
        todo = [name]
        while todo:
            current = todo.pop()
            if current in self.models and current not in found:
                found.add(current)
                todo += self.models[current].models
        return found

    def tables_of(self, name: str) -> set[str]:
        """Raw tables that a model reads, directly or not."""
        return {table for model in self.upstream(name) for table in self.models[model].tables}

    def downstream_of(self, table: str) -> list[DbtModel]:
        """Models that read a raw table, directly or not."""
        return [model for name, model in self.models.items() if table in self.tables_of(name)]


def ref_graph(projects: Sequence[Path]) -> RefGraph:
    """The graph of all projects; of two models with one name the earlier project's counts."""
    files = [path for project in projects for path in sorted((project / MODELS_DIR).rglob("*.sql"))]
    models: dict[str, DbtModel] = {}
    for path in files:
        status = path.stat()
        found = _model(path, status.st_mtime_ns, status.st_size)
        models.setdefault(found.name, found)
    return RefGraph(models)


@functools.lru_cache(maxsize=4096)
def _model(path: Path, _modified_ns: int, _size: int) -> DbtModel:
    text = _COMMENT.sub("", path.read_text(errors="replace"))
    calls = _CALL.findall(text)
    below = path.parts[len(path.parts) - path.parts[::-1].index(MODELS_DIR) :]
    return DbtModel(
        name=path.stem,
        path=path,
        layer=below[0] if len(below) > 1 else "",
        models=frozenset(name for kind, _, name in calls if kind == "ref"),
        tables=frozenset(name for kind, _, name in calls if kind == "source"),
    )
