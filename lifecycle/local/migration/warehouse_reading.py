"""Tables and columns that a warehouse has, in both dialects, and those that the dbt projects describe."""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects, property_files, read_yaml
from lifecycle.spec.ref_graph import ref_graph
from lifecycle.warehouse import Warehouse

CONTRACT_LAYER = "marts"
"""Layer whose models describe all their columns, because dbt enforces their contracts."""

Tables = Mapping[str, frozenset[str]]
"""Names of the columns by ``schema.table``, in lower case."""


@dataclass(frozen=True)
class DescribedTable:
    """A dbt model's columns as its property file has them; `is_complete` if no other may exist."""

    relation: str
    columns: frozenset[str]
    is_complete: bool

    def difference(self, existing: frozenset[str]) -> str:
        """The columns in which a table differs, in words; empty if it does not."""
        missing, other = sorted(self.columns - existing), sorted(existing - self.columns) if self.is_complete else []
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        return " and ".join(parts + ([f"has {', '.join(other)} of an earlier version"] if other else []))


def base_tables(warehouse: Warehouse) -> Tables:
    """Every table, without views, which each build makes again."""
    rows = warehouse.query(
        "select lower(columns.table_schema) || '.' || lower(columns.table_name) as relation, "
        "lower(columns.column_name) as name "
        "from information_schema.columns as columns "
        "inner join information_schema.tables as tables on columns.table_schema = tables.table_schema "
        "and columns.table_name = tables.table_name "
        "where tables.table_type = 'BASE TABLE'"
    ).to_pylist()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["relation"], set()).add(row["name"])
    return {relation: frozenset(columns) for relation, columns in found.items()}


def described_tables(settings: Settings) -> list[DescribedTable]:
    """The models that the property files describe with columns; a faulty file is `lifecycle check`'s to report."""
    projects = dbt_projects(settings)
    models = ref_graph(projects).models
    found: dict[str, DescribedTable] = {}
    for path in (path for project in projects for path in property_files(project)):
        try:
            document = read_yaml(path).document
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        described = document.get("models") if isinstance(document, dict) else None
        for model in described if isinstance(described, list) else []:
            node = models.get(model.get("name"))
            columns = frozenset(column["name"].lower() for column in model.get("columns") or [] if "name" in column)
            if node is not None and columns:
                is_complete = node.layer == CONTRACT_LAYER
                found.setdefault(node.relation, DescribedTable(node.relation.lower(), columns, is_complete))
    return sorted(found.values(), key=lambda table: table.relation)
