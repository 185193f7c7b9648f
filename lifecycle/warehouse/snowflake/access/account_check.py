"""Checks an account: every step can log in and has its privileges, and no other role reads protected attributes."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import STEPS, Step
from lifecycle.warehouse.interface import Use
from lifecycle.warehouse.raw_tables import PROTECTED
from lifecycle.warehouse.snowflake.access.privileges import (
    MAY_READ_PROTECTED,
    Excess,
    Held,
    Need,
    Relation,
    excess,
    missing,
    needs,
    quoted,
)
from lifecycle.warehouse.snowflake.connection import connection
from lifecycle.warehouse.snowflake.failures import ConnectionLostError
from lifecycle.warehouse.snowflake.queries import SnowflakeQueries

Row = dict[str, str]
Show = Callable[[str], list[Row]]
"""Rows of a SHOW statement, by column name in lower case."""

ABOUT_ROLE_OR_WAREHOUSE = ("390189", "002043")
"""Rejections that concern one step; others would repeat for the next step, and each attempt may lock the user."""
READING = frozenset({"SELECT", "OWNERSHIP"})


@dataclass(frozen=True)
class StepCheck:
    """Result for one step; `error` is set if it could not log in or not read."""

    step: Step
    role: str | None
    warehouse: str | None
    held: tuple[Held, ...] = ()
    missing: tuple[Need, ...] = ()
    excess: tuple[Excess, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """Result of the check of an account."""

    account: str
    database: str
    user: str | None
    version: str | None
    steps: tuple[StepCheck, ...]
    excess: tuple[Excess, ...]
    notes: tuple[str, ...]
    """Parts that could not be checked."""

    @property
    def is_ready(self) -> bool:
        """Whether no privilege is missing and none is excessive."""
        return not self.excess and all(not (step.missing or step.excess or step.error) for step in self.steps)

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types, with the statement that grants each missing privilege."""
        document = asdict(self) | {"is_ready": self.is_ready}
        for step_document, step in zip(document["steps"], self.steps, strict=True):
            for missing_privilege, need in zip(step_document["missing"], step.missing, strict=True):
                missing_privilege["statement"] = need.grant(step.role or "")
        return document


@dataclass(frozen=True)
class _Seen:
    """State that one login reads."""

    role: str
    warehouse: str | None
    version: str
    secondary_roles: str
    held: tuple[Held, ...]
    relations: tuple[Relation, ...]


def check(settings: Settings) -> CheckReport:
    """Log in as every step and compare its role's privileges with those that it needs; read-only.

    Raises
    ------
    LifecycleError
        If a setting is missing or wrong, the endpoint cannot be reached, or it rejects the user.
    """
    seen: dict[Step, _Seen] = {}
    refused: dict[Step, str] = {}
    for step in STEPS:
        try:
            seen[step] = _look(settings, step)
        except ConnectionLostError:
            raise
        except LifecycleError as error:
            if not any(number in str(error) for number in ABOUT_ROLE_OR_WAREHOUSE):
                raise
            refused[step] = str(error)
    relations = sorted({relation for look in seen.values() for relation in look.relations})
    steps = [_compared(settings, step, seen[step], relations, _allowed(seen)) for step in STEPS if step in seen]
    steps += [
        StepCheck(step, settings.snowflake.role_of(step), settings.snowflake.warehouse_of(step), error=error)
        for step, error in refused.items()
    ]
    others, notes = _others(settings, seen, relations)
    return CheckReport(
        account=settings.snowflake.host or settings.snowflake.account or "",
        database=quoted(settings.snowflake.database),
        user=settings.snowflake.user,
        version=next((look.version for look in seen.values()), None),
        steps=tuple(sorted(steps, key=lambda checked: STEPS.index(checked.step))),
        excess=(*_secondary(settings, seen), *others),
        notes=tuple(notes),
    )


def held_by(role: str, show: Show) -> tuple[Held, ...]:
    """All privileges of a role, direct and inherited; cycles of roles are allowed."""
    held: list[Held] = []
    todo, known = [role], {role}
    while todo:
        current = todo.pop()
        for row in show(f"show grants to role {quoted(current)}"):
            if row["granted_on"] == "ROLE" and row["privilege"] == "USAGE":
                if row["name"] not in known:
                    known.add(row["name"])
                    todo.append(row["name"])
            else:
                held.append(Held(row["privilege"], row["granted_on"], row["name"], current))
        held += [
            Held(row["privilege"], row["grant_on"], row["name"].rpartition(".")[0], current, is_future=True)
            for row in show(f"show future grants to role {quoted(current)}")
        ]
    return tuple(held)


def _look(settings: Settings, step: Step) -> _Seen:
    with connection(settings, Use(step)) as opened:
        queries = SnowflakeQueries(opened, settings.snowflake)
        session = _rows(
            queries,
            "select current_role() as role, current_warehouse() as warehouse, current_version() as version, "
            "current_secondary_roles() as secondary_roles",
        )[0]
        held = held_by(session["role"], lambda sql: _rows(queries, sql))
        relations: list[Relation] = [
            ("TABLE" if grant.kind == "TABLE" else "VIEW", grant.name)
            for grant in held
            if grant.kind in {"TABLE", "VIEW"} and not grant.is_future
        ]
        if session["warehouse"]:
            relations += _listed(settings, queries)
    return _Seen(
        role=session["role"],
        warehouse=session["warehouse"],
        version=session["version"],
        secondary_roles=json.loads(session["secondary_roles"] or "{}").get("value") or "",
        held=held,
        relations=tuple(relations),
    )


def _listed(settings: Settings, queries: SnowflakeQueries) -> list[Relation]:
    """Tables and views of the database that the role sees; this query needs a virtual warehouse."""
    database = quoted(settings.snowflake.database)
    rows = _rows(
        queries,
        "select table_schema as schema_name, table_name as name, table_type as kind "
        f"from {database}.information_schema.tables where table_schema <> 'INFORMATION_SCHEMA'",
    )
    return [
        ("VIEW" if "VIEW" in row["kind"] else "TABLE", f"{database}.{row['schema_name']}.{row['name']}")
        for row in rows
        if "TEMPORARY" not in row["kind"]
    ]


def _allowed(seen: dict[Step, _Seen]) -> set[str]:
    return {seen[step].role for step in MAY_READ_PROTECTED if step in seen}


def _compared(settings: Settings, step: Step, seen: _Seen, relations: list[Relation], allowed: set[str]) -> StepCheck:
    inside = f"{quoted(settings.snowflake.database)}."
    lacking = missing(needs(settings.snowflake, step, relations), seen.held)
    return StepCheck(
        step=step,
        role=seen.role,
        warehouse=seen.warehouse or settings.snowflake.warehouse_of(step),
        held=tuple(held for held in seen.held if held.kind == "WAREHOUSE" or f"{held.name}.".startswith(inside)),
        missing=lacking,
        excess=excess(settings.snowflake, step, seen.role, seen.held, allowed),
    )


def _secondary(settings: Settings, seen: dict[Step, _Seen]) -> list[Excess]:
    if not any(look.secondary_roles == "ALL" for look in seen.values()):
        return []
    user = quoted(settings.snowflake.user or "<user>")
    return [
        Excess(
            f"Every session of {user} has all of the user's roles at once, as secondary roles",
            f"alter user {user} set default_secondary_roles = ();",
        )
    ]


def _others(settings: Settings, seen: dict[Step, _Seen], relations: list[Relation]) -> tuple[list[Excess], list[str]]:
    """Other roles of the account that can read protected attributes, and the parts that could not be checked."""
    allowed = _allowed(seen)
    if not allowed:
        return [], ["other readers of protected attributes: neither load nor fairness could log in"]
    step: Step = "fairness" if "fairness" in seen else "load"
    inside = f"{quoted(settings.snowflake.database)}.{PROTECTED.upper()}"
    tables = [name for kind, name in relations if kind == "TABLE" and name.startswith(f"{inside}.")]
    found: list[Excess] = []
    notes: list[str] = []
    with connection(settings, Use(step)) as opened:
        queries = SnowflakeQueries(opened, settings.snowflake)

        def shown(sql: str) -> list[Row]:
            try:
                return _rows(queries, sql)
            except ConnectionLostError:
                raise
            except LifecycleError as error:
                notes.append(f"{sql}: {error}")
                return []

        for role in sorted(allowed):
            found += _members(role, shown(f"show grants of role {quoted(role)}"), allowed)
        for table in tables:
            found += _readers(shown(f"show grants on table {table}"), allowed, f"table {table}")
        future = shown(f"show future grants in schema {inside}")
        for kind in dict.fromkeys(row["grant_on"].lower() for row in future):
            rows = [row for row in future if row["grant_on"].lower() == kind]
            found += _readers(rows, allowed, f"future {kind}s in schema {inside}")
    known = {grant.through for look in seen.values() for grant in look.held}
    return [one for one in dict.fromkeys(found) if one.what.split()[0] not in known], notes


def _members(role: str, rows: list[Row], allowed: set[str]) -> list[Excess]:
    return [
        Excess(
            f"{row['grantee_name']} inherits {role}, which can read protected attributes",
            f"revoke role {quoted(role)} from role {quoted(row['grantee_name'])};",
        )
        for row in rows
        if row["granted_to"] == "ROLE" and row["grantee_name"] not in allowed
    ]


def _readers(rows: list[Row], allowed: set[str], objects: str) -> list[Excess]:
    return [
        Excess(
            f"{row['grantee_name']} holds {row['privilege']} on {objects}",
            f"revoke {row['privilege'].lower()} on {objects} from role {quoted(row['grantee_name'])};",
        )
        for row in rows
        if row["privilege"] in READING and row["grantee_name"] not in allowed
    ]


def _rows(queries: SnowflakeQueries, sql: str) -> list[Row]:
    with queries.cursor(sql) as cursor:
        names = [column.name.lower() for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
