"""The declared raw tables of an installation: those of the sources of every dbt project.

A faulty table, or a file that cannot be read, leaves out what it declares; the other tables stay usable.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects, property_files, read_yaml
from lifecycle.spec.declaration_schema import META, TableDeclaration, table_faults
from lifecycle.spec.raw_table import PROTECTED, SCHEMA, RawRelation
from lifecycle.spec.suggestions import suggestion
from lifecycle.spec.yaml_faults import Key, YamlFile, describe, with_lines

SCHEMAS = (SCHEMA, PROTECTED)
_META_KEYS = ("config", "meta", "lifecycle")


@dataclass(frozen=True)
class FaultyDeclaration:
    """What cannot be used: the file, the table (``None`` if the file cannot be read), and what is wrong."""

    path: Path
    table: str | None
    message: str


@dataclass(frozen=True)
class Declarations:
    """The usable tables by name, the shipped ones first, and the faulty ones."""

    tables: Mapping[str, RawRelation]
    faulty: tuple[FaultyDeclaration, ...]

    def table(self, name: str) -> RawRelation:
        """A table by its name.

        Raises
        ------
        LifecycleError
            If there is no such table, with the similar names or all; or if its declaration is faulty.
        """
        if name in self.tables:
            return self.tables[name]
        own = self.fault_of(name)
        unread = [fault.message for fault in self.faulty if fault.table is None]
        if own:
            raise LifecycleError(own)
        also = f". Left out: {'; '.join(unread)}" if unread else ""
        raise LifecycleError(
            f"Expected a declared raw table, got {name!r}{suggestion(name, self.tables, 'table')}. A table is declared "
            f"by `{META}` of its dbt source{also}"
        )

    def fault_of(self, name: str) -> str | None:
        """What is wrong with the declaration of a table; ``None`` if it is right or missing."""
        return next((fault.message for fault in self.faulty if fault.table == name), None)

    def root_of(self, relation: RawRelation) -> RawRelation:
        """The table of the events that a table's rows are about: at the end of its references, or itself."""
        while relation.refers_to:
            relation = self.tables[relation.refers_to]
        return relation

    def referring_to(self, root: RawRelation) -> tuple[RawRelation, ...]:
        """Tables whose rows are about rows of `root`, directly or not, the farthest first."""
        referring = [table for table in self.tables.values() if table.refers_to and self.root_of(table) == root]
        return tuple(sorted(referring, key=lambda table: -self._distance(table)))

    def _distance(self, relation: RawRelation) -> int:
        return 1 + self._distance(self.tables[relation.refers_to]) if relation.refers_to else 0


def declarations(settings: Settings | None = None) -> Declarations:
    """The declared tables of an installation, read again if a file has changed."""
    return declared_in(dbt_projects(settings or Settings()))


def declared_in(projects: Sequence[Path]) -> Declarations:
    """The tables that the sources of these dbt projects declare."""
    files = [(project, path, path.stat()) for project in projects for path in property_files(project)]
    return _declared(tuple((project, path, status.st_mtime_ns, status.st_size) for project, path, status in files))


@functools.lru_cache(maxsize=16)
def _declared(files: tuple[tuple[Path, Path, int, int], ...]) -> Declarations:
    tables: dict[str, RawRelation] = {}
    faulty: list[FaultyDeclaration] = []
    for project, path, _, _ in files:
        for found in _tables_of(project, path):
            if isinstance(found, FaultyDeclaration):
                faulty.append(found)
            elif found.name in tables:
                message = f"Expected each table once, got it again; it is declared in {tables[found.name].path}"
                faulty.append(FaultyDeclaration(path, found.name, f"{found.name}: {message} - in {path}"))
            else:
                tables[found.name] = found
    while broken := [(table, fault) for table in tables.values() if (fault := _reference_fault(table, tables))]:
        for table, broken_fault in broken:
            text = with_lines(broken_fault, read_yaml(table.path), _place_of(table))
            faulty.append(FaultyDeclaration(table.path, table.name, f"{table.name}: {text} - in {table.path}"))
            del tables[table.name]
    return Declarations(tables, tuple(faulty))


def _tables_of(project: Path, path: Path) -> Iterator[RawRelation | FaultyDeclaration]:
    try:
        file = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        yield FaultyDeclaration(path, None, f"Expected readable YAML, got: {text} - in {path}")
        return
    for place, source, table in _source_tables(file):
        name = str(table.get("name"))
        if "lifecycle" in _mapping(table.get("meta")):
            message = "Expected lifecycle below config.meta, got it below meta - at `meta.lifecycle`"
            yield FaultyDeclaration(path, name, f"{name}: {with_lines(message, file, place)} - in {path}")
        elif file.has([*place, *_META_KEYS]):
            yield _relation(project, path, file, place, source, table)


def _source_tables(file: YamlFile) -> Iterator[tuple[list[Key], Mapping[str, Any], Mapping[str, Any]]]:
    """Place, source and table of each table of the file's sources; malformed parts are dbt's to report."""
    sources = _mapping(file.document).get("sources")
    for index, source in enumerate(sources if isinstance(sources, list) else []):
        tables = _mapping(source).get("tables")
        for number, table in enumerate(tables if isinstance(tables, list) else []):
            if isinstance(table, Mapping):
                yield ["sources", index, "tables", number], source, table


def _relation(
    project: Path, path: Path, file: YamlFile, place: list[Key], source: Mapping[str, Any], table: Mapping[str, Any]
) -> RawRelation | FaultyDeclaration:
    name = str(table.get("name"))
    try:
        declared = TableDeclaration.model_validate(table)
    except ValidationError as error:
        message = describe(error, TableDeclaration, file, place)
        return FaultyDeclaration(path, name, f"{name}: {message} - in {path}")
    faults = [with_lines(fault, file, place) for fault in table_faults(declared)]
    schema = str(source.get("schema", source.get("name")))
    if schema not in SCHEMAS:
        fault = f"Expected the schema {' or '.join(SCHEMAS)}, got {schema!r} - at `schema`"
        faults.append(with_lines(fault, file, place[:2]))
    if faults:
        return FaultyDeclaration(path, name, f"{name}: {'; '.join(faults)} - in {path}")
    meta = declared.meta
    return RawRelation(
        name=declared.name,
        grain=" ".join(declared.description.split()),
        columns=declared.raw_columns(),
        key=meta.key,
        event_at=meta.event_at,
        schema=schema,
        corrected=meta.corrected,
        is_repeatable=meta.is_repeatable,
        entity=meta.entity,
        entity_kind=meta.entity_kind or (meta.entity and meta.entity.removesuffix("_id")),
        key_kind=meta.key_kind or declared.name,
        refers_to=meta.refers_to,
        changes_from_days=meta.changes_days.after,
        changes_until_days=meta.changes_days.until,
        path=path,
        project=project,
    )


def _reference_fault(table: RawRelation, tables: Mapping[str, RawRelation]) -> str | None:
    """What is wrong with the table that a table refers to; ``None`` if nothing is."""
    if table.refers_to is None:
        return None
    at = f"at `{META}.refers_to`"
    target = tables.get(table.refers_to)
    if target is None:
        near = suggestion(table.refers_to, set(tables) - {table.name}, "table")
        return f"Expected a declared table, got {table.refers_to!r}{near} - {at}"
    if target.event_at is None:
        return f"Expected a table with event_at, got {target.name}, which has none - {at}"
    if (target.key, target.column(target.key).type) != (table.key, table.column(table.key).type):
        return f"Expected a table with the same key {table.key}, got {target.name} with {target.key} - {at}"
    passed = {table.name}
    while target.refers_to:
        if target.name in passed:
            return f"Expected no table that refers to itself, got one through {target.name} - {at}"
        passed.add(target.name)
        if target.refers_to not in tables:
            break
        target = tables[target.refers_to]
    return None


def _place_of(table: RawRelation) -> list[Key]:
    places = _source_tables(read_yaml(table.path))
    return next((place for place, _, found in places if found.get("name") == table.name), [])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
