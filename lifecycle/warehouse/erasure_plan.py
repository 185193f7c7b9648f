"""What an erasure deletes: by table, the rows that are about an entity or about a row of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.arrivals import arrival_of
from lifecycle.spec.model_files import read_specs
from lifecycle.spec.raw_table import PROTECTED, WHOLE, RawRelation
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.suggestions import suggestion
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.deletion import BuiltTable, Rows, built_tables
from lifecycle.warehouse.raw_tables import LOADS_TABLE, Declarations, declarations, raw_definitions
from lifecycle.warehouse.reading.decisions import DECISIONS

NOT_SEARCHED = "built tables without an id"


@dataclass(frozen=True)
class ErasurePlan:
    """An entity, and the rows about it.

    Ids are compared as text, so that a model may have cast them.
    """

    kind: str
    entity: str
    """Id as text."""
    raw: Mapping[str, Rows]
    """By table: first the rows that refer to others, last those that the other conditions refer to."""
    built: Mapping[str, Rows]
    keys: Mapping[str, str]
    """SQL of the keys whose rows must not come back, by kind of key; its parameter is the entity."""
    models: Mapping[str, RiskModelSpec]
    """Models whose examples are about this kind of entity."""
    other_models: tuple[str, ...]
    remains: Mapping[str, str]
    """What this plan does not reach, and why."""

    def decisions(self, entity_hash: str) -> dict[str, Rows]:
        """The decisions about the entity: all but those of models of another kind of entity, whose ids are others'."""
        condition = "entity_key = ?"
        if self.other_models:
            condition += f" and model not in ({', '.join('?' * len(self.other_models))})"
        return {DECISIONS: Rows(condition, (entity_hash, *self.other_models))}


def erasure_plan(settings: Settings, entity: str, kind: str | None) -> ErasurePlan:
    """The plan for an entity.

    Raises
    ------
    LifecycleError
        If the kind is unknown or must be named, the id is not of its type, or a model's raw table cannot be told.
    """
    declared = declarations(settings)
    kind = _kind(settings, declared, kind)
    tables = [table for table in declared.tables.values() if table.entity_kind == kind]
    entity = _id_text(tables, entity)
    built: dict[str, Rows] = {}
    unsearched: list[str] = []
    for table in tables:
        if table.schema == PROTECTED:
            continue  # no model reads it
        for found in built_tables(settings, table):
            condition = _of_built(found, table)
            if condition:
                built[found.name] = Rows(condition, (entity,) * condition.count("?"))
            else:
                unsearched.append(found.name)
    specs = read_specs()
    kinds = {name: arrival_of(spec, settings).entity_kind for name, spec in specs.items()}
    left = sorted(set(unsearched) - set(built))
    return ErasurePlan(
        kind=kind,
        entity=entity,
        raw=_raw_rows(declared, tables, entity),
        built=built,
        keys={
            table.key_kind: f"select {_text(table.key)} as id from {table.table} where {_is_entity(table)}"
            for table in tables
            if declared.referring_to(table)
        },
        models={name: spec for name, spec in specs.items() if kinds[name] == kind},
        other_models=tuple(name for name in specs if kinds[name] not in {kind, None}),
        remains={NOT_SEARCHED: f"{', '.join(left)}: no column has the raw table's key or entity"} if left else {},
    )


def _kind(settings: Settings, declared: Declarations, kind: str | None) -> str:
    """The named kind; by default the only one, of the tables that were ever loaded or of all declared ones.

    Loads are recorded for good, so that a repeated erasure finds the same kind although the rows are gone.
    """
    kinds = {table.entity_kind for table in declared.tables.values() if table.entity_kind}
    if kind is None and len(kinds) > 1:
        warehouse = open_warehouse(settings, Use("load"))
        warehouse.ensure(raw_definitions(warehouse.dialect, declared))
        found = warehouse.query(f"select distinct relation from {LOADS_TABLE}")
        tables = [declared.tables[name] for name in found.column("relation").to_pylist() if name in declared.tables]
        loaded = {table.entity_kind for table in tables if table.entity_kind}
        kinds = loaded or kinds
    if kind is None and len(kinds) == 1:
        return next(iter(kinds))
    if kind is None:
        known = ", ".join(sorted(kinds)) or "none"
        raise LifecycleError(f"Expected the kind of entity, of {known}, got none - at --kind")
    if kind not in kinds:
        raise LifecycleError(f"Expected a kind of entity, got {kind!r}{suggestion(kind, kinds, 'kind')} - at --kind")
    return kind


def _id_text(tables: list[RawRelation], entity: str) -> str:
    """The id as the tables have it: a whole number in its shortest text."""
    types = {table.column(table.entity or "").type for table in tables}
    if types != {WHOLE}:
        if not entity or entity != entity.strip():
            raise LifecycleError("Expected an id without blanks around it, got other text - at --customer")
        return entity
    if not entity.strip().lstrip("-").isdecimal():
        raise LifecycleError("Expected a whole number, got other text - at --customer")
    return str(int(entity))


def _raw_rows(declared: Declarations, tables: list[RawRelation], entity: str) -> dict[str, Rows]:
    rows: dict[str, Rows] = {}
    for table in tables:
        for referring in declared.referring_to(table):
            rows[referring.table] = Rows(_of_keys(referring.key, table), (entity,))
    own = {table.table: Rows(_is_entity(table), (entity,)) for table in tables}
    versions = {table.versions_table: Rows(_is_entity(table), (entity,)) for table in tables if table.corrected}
    return {name: found for name, found in rows.items() if name not in own} | versions | own


def _of_built(built: BuiltTable, table: RawRelation) -> str:
    conditions = [f"{_text(column)} = ?" for column in built.entities]
    conditions += [_of_keys(column, table) for column in built.keys]
    return " or ".join(conditions)


def _of_keys(column: str, table: RawRelation) -> str:
    return f"{_text(column)} in (select {_text(table.key)} from {table.table} where {_is_entity(table)})"


def _is_entity(table: RawRelation) -> str:
    return f"{_text(table.entity or '')} = ?"


def _text(column: str) -> str:
    return f"cast({column} as varchar)"
