"""Rejects statements that need privileges which the session's role lacks (``--enforce``)."""

from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lifecycle.local.snowflake.answers import Failed
from lifecycle.local.snowflake.engine import Engine
from lifecycle.local.snowflake.grants import Account, Right
from lifecycle.local.snowflake.sessions import LocalSession
from lifecycle.local.snowflake.statements import Kind, Statement

_CHANGES: dict[type[exp.Expression], tuple[str, ...]] = {
    exp.Insert: ("INSERT",),
    exp.Update: ("UPDATE",),
    exp.Delete: ("DELETE",),
    exp.Merge: ("INSERT", "UPDATE"),
    exp.Copy: ("INSERT",),
    exp.TruncateTable: ("TRUNCATE",),
}


def expect_allowed(session: LocalSession, statement: Statement, account: Account, engine: Engine) -> None:
    """Check the tables, views and schemas that a statement names; statements that do not parse are allowed.

    Raises
    ------
    Failed
        With an account's number: 002003 if the role has no privilege on the object, 003001 if it lacks this one.
    """
    if statement.kind not in {Kind.DEFINITION, Kind.LOCKING, Kind.OTHER}:
        return
    try:
        parsed = sqlglot.parse_one(statement.sql, read="snowflake")
    except SqlglotError:
        return
    objects = engine.objects()
    held = account.rights(session.role, objects)
    kinds = {name: kind for kind, name in objects.relations}
    visible = {name for _, _, name in held}
    for privilege, kind, name in _needed(parsed, session, kinds):
        if name in session.temporary_tables or {(privilege, kind, name), ("OWNERSHIP", kind, name)} & held:
            continue
        if name in visible and privilege == "USAGE":
            continue  # with any privilege on a schema or database, a role may use it
        if name not in visible:
            raise Failed("002003", "42S02", f"Object '{name}' does not exist or not authorized.")
        raise Failed("003001", "42501", f"Insufficient privileges to operate on {kind.lower()} '{name}' ({privilege}).")


def _needed(parsed: exp.Expression, session: LocalSession, kinds: dict[str, str]) -> Iterator[Right]:
    targets = set()
    if isinstance(parsed, exp.Create | exp.Drop | exp.Alter):
        target = parsed.find(exp.Table)
        if target is not None:
            targets.add(id(target))
            yield from _defined(parsed, target, session, kinds)
    for kind, privileges in _CHANGES.items():
        if isinstance(parsed, kind):
            target = parsed.expressions[0] if kind is exp.TruncateTable else parsed.find(exp.Table)
            if isinstance(target, exp.Table):
                targets.add(id(target))
                yield from ((privilege, "TABLE", _name(target, session)) for privilege in privileges)
    expressions = {cte.alias_or_name.upper() for cte in parsed.find_all(exp.CTE)}
    for table in parsed.find_all(exp.Table):
        name = _name(table, session)
        is_ours = id(table) in targets or (not table.db and table.name.upper() in expressions)
        if not is_ours and name in kinds:
            yield "SELECT", kinds[name], name
            yield "USAGE", "SCHEMA", name.rpartition(".")[0]
            yield "USAGE", "DATABASE", name.partition(".")[0]


def _defined(
    parsed: exp.Create | exp.Drop | exp.Alter, target: exp.Table, session: LocalSession, kinds: dict[str, str]
) -> Iterator[Right]:
    kind = str(parsed.args.get("kind") or "").upper()
    if kind == "SCHEMA":
        database = (target.catalog or session.connection.database or "").upper()
        yield f"{'OWNERSHIP' if isinstance(parsed, exp.Drop) else 'CREATE SCHEMA'}", "DATABASE", database
        return
    if kind not in {"TABLE", "VIEW", "STAGE"}:
        return
    name = _name(target, session)
    if name in kinds and (not isinstance(parsed, exp.Create) or parsed.args.get("replace")):
        yield "OWNERSHIP", kinds[name], name
    is_temporary = parsed.find(exp.TemporaryProperty) is not None
    if isinstance(parsed, exp.Create) and not (is_temporary and kind == "TABLE"):
        yield f"CREATE {kind}", "SCHEMA", name.rpartition(".")[0]


def _name(table: exp.Table, session: LocalSession) -> str:
    database = table.catalog or session.connection.database or ""
    schema = table.db or session.connection.schema or ""
    return f"{database}.{schema}.{table.name}".upper()
