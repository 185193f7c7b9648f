"""The models and sources of the parsed dbt project."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DAY_COLUMN = "occurred_at"
"""Column by whose day a model is built, unless its ``config.meta`` names another as `event_at`."""


@dataclass(frozen=True)
class ModelNode:
    """A dbt model; `depends_on` has the unique ids of the models and sources that it reads."""

    unique_id: str
    name: str
    package: str
    relation: str
    day_column: str
    depends_on: frozenset[str]


@dataclass(frozen=True)
class SourceNode:
    """A table of a dbt source; `is_limited` says whether the age of its last load has limits.

    Its `relation` is named after the source, as dbt and its asset are.
    """

    unique_id: str
    relation: str
    description: str
    is_limited: bool


@dataclass(frozen=True)
class Nodes:
    """Models and sources by unique id."""

    models: Mapping[str, ModelNode]
    sources: Mapping[str, SourceNode]

    @property
    def day_columns(self) -> dict[str, str]:
        """Column by whose day each model's relation is built."""
        return {model.relation: model.day_column for model in self.models.values()}

    def read_sources(self) -> list[SourceNode]:
        """The sources that a model reads, by relation."""
        read = {unique_id for model in self.models.values() for unique_id in model.depends_on}
        return sorted((self.sources[name] for name in read & self.sources.keys()), key=lambda source: source.relation)

    def upstream(self, names: set[str]) -> set[str]:
        """Unique ids of the models of these names, and of all models and sources that they read."""
        found: set[str] = set()
        todo = [unique_id for unique_id, model in self.models.items() if model.name in names]
        while todo:
            current = todo.pop()
            if current not in found:
                found.add(current)
                todo += self.models[current].depends_on if current in self.models else ()
        return found


def read_nodes(manifest: Path) -> Nodes:
    """Models and sources of a `manifest.json`, whose folder is named by its content."""
    return _read(manifest, manifest.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(manifest: Path, _modified_ns: int) -> Nodes:
    document: dict[str, Any] = json.loads(manifest.read_bytes())
    models = {
        unique_id: ModelNode(
            unique_id,
            node["name"],
            node["package_name"],
            f"{node['schema']}.{node['alias']}",
            node["config"]["meta"].get("event_at", DAY_COLUMN),
            frozenset(node["depends_on"]["nodes"]),
        )
        for unique_id, node in document["nodes"].items()
        if node["resource_type"] == "model"
    }
    sources = {
        unique_id: SourceNode(
            unique_id,
            f"{source['source_name']}.{source['name']}",
            " ".join(source["description"].split()),
            _is_limited(source.get("freshness")),
        )
        for unique_id, source in document["sources"].items()
    }
    return Nodes(models, sources)


def _is_limited(freshness: Mapping[str, Any] | None) -> bool:
    limits = (freshness or {}).get("warn_after"), (freshness or {}).get("error_after")
    return any(limit and limit.get("count") is not None for limit in limits)
