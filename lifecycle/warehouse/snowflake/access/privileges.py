"""The privileges that each step needs in an account, compared with those that its role holds.

Sources: https://docs.snowflake.com/en/user-guide/security-access-control-privileges (what a statement needs),
https://docs.snowflake.com/en/sql-reference/sql/grant-privilege (future grants, managed access).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.settings.snowflake import STEPS, SnowflakeSettings, Step
from lifecycle.warehouse.raw_tables import PROTECTED, tables_of_loads
from lifecycle.warehouse.reading.decisions import DECISIONS, OFFSETS
from lifecycle.warehouse.reading.refusals import REFUSALS

MAY_READ_PROTECTED: frozenset[Step] = frozenset({"load", "fairness"})
"""The step that writes protected attributes, and the gate that evaluates them."""

ON_SCHEMAS: Mapping[Step, Mapping[str, tuple[str, ...]]] = {
    "load": {"raw": ("USAGE", "CREATE TABLE", "CREATE STAGE"), PROTECTED: ("USAGE", "CREATE TABLE")},
    "transform": {
        "raw": ("USAGE",),
        "staging": ("USAGE", "CREATE TABLE", "CREATE VIEW"),
        "intermediate": ("USAGE", "CREATE TABLE", "CREATE VIEW"),
        "marts": ("USAGE", "CREATE TABLE", "CREATE VIEW"),
    },
    "train": {"marts": ("USAGE",)},
    "log": {"raw": ("USAGE", "CREATE TABLE", "CREATE STAGE")},
    "fairness": {PROTECTED: ("USAGE",), "marts": ("USAGE",)},
    "read": {"raw": ("USAGE",), "staging": ("USAGE",), "intermediate": ("USAGE",), "marts": ("USAGE",)},
}
"""Privileges on schemas; temporary tables need none, for temporary stages no exemption is documented."""

READS: Mapping[Step, tuple[tuple[str, str], ...]] = {
    "load": (),
    "transform": (("raw", "TABLE"),),
    "train": (("marts", "TABLE"),),
    "log": (),
    "fairness": ((PROTECTED, "TABLE"), ("marts", "TABLE")),
    "read": (("raw", "TABLE"), ("staging", "VIEW"), ("intermediate", "TABLE"), ("marts", "TABLE")),
}
"""Schemas whose existing and future tables (or views) a step reads."""

CHANGES: Mapping[Step, tuple[str, ...]] = {
    "load": ("raw.loads_lock",),
    "transform": (),
    "train": (),
    "log": (DECISIONS, OFFSETS, REFUSALS, "raw.decisions_lock"),
    "fairness": (),
    "read": (),
}
"""Tables whose rows a step changes, in addition to the raw tables that loads fill; its role owns what it created."""
CHANGE = ("SELECT", "INSERT", "UPDATE", "DELETE")

REPLACES: Mapping[Step, tuple[str, ...]] = dict.fromkeys(STEPS, ()) | {
    "transform": ("staging", "intermediate", "marts")
}
"""Schemas whose tables and views a step replaces, which only their owner may do."""

_PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*")


@dataclass(frozen=True)
class Need:
    """A privilege that a step needs on one object, or (`is_future`) on future objects of a schema."""

    privilege: str
    kind: str
    name: str
    is_future: bool = False

    def grant(self, role: str) -> str:
        """The statement that grants the privilege."""
        if self.privilege == "OWNERSHIP":
            return f"grant ownership on {self.kind.lower()} {self.name} to role {quoted(role)} copy current grants;"
        on = f"future {self.kind.lower()}s in schema" if self.is_future else self.kind.lower()
        return f"grant {self.privilege.lower()} on {on} {self.name} to role {quoted(role)};"


@dataclass(frozen=True)
class Held:
    """A privilege that a role holds; `through` is the role that it was granted to, possibly an inherited one."""

    privilege: str
    kind: str
    name: str
    through: str
    is_future: bool = False


@dataclass(frozen=True)
class Excess:
    """A privilege that exposes the protected attributes to a role that must not read them."""

    what: str
    remedy: str


Relation = tuple[Literal["TABLE", "VIEW"], str]
"""Kind and qualified name of a table or view."""


def needs(settings: SnowflakeSettings, step: Step, relations: Collection[Relation] = ()) -> tuple[Need, ...]:
    """All privileges that a step needs, given the existing tables and views."""
    database = quoted(settings.database)
    result = [Need("USAGE", "DATABASE", database)]
    if warehouse := settings.warehouse_of(step):
        result.insert(0, Need("USAGE", "WAREHOUSE", quoted(warehouse)))
    for schema, privileges in ON_SCHEMAS[step].items():
        result += [Need(privilege, "SCHEMA", f"{database}.{schema.upper()}") for privilege in privileges]
    for schema, kind in READS[step]:
        inside = f"{database}.{schema.upper()}"
        result.append(Need("SELECT", kind, inside, is_future=True))
        result += [Need("SELECT", kind, name) for other, name in relations if other == kind and _is_in(name, inside)]
    tables = (*CHANGES[step], *(tables_of_loads() if step == "load" else ()))
    changed = {f"{database}.{table.upper()}" for table in tables}
    result += [Need(privilege, kind, name) for kind, name in relations if name in changed for privilege in CHANGE]
    for schema in REPLACES[step]:
        inside = f"{database}.{schema.upper()}"
        result += [Need("OWNERSHIP", kind, name) for kind, name in relations if _is_in(name, inside)]
    return tuple(dict.fromkeys(result))


def missing(wanted: Iterable[Need], held: Collection[Held]) -> tuple[Need, ...]:
    """The needs that are not met; ownership of an object meets every need on it."""
    has = {(grant.privilege, grant.kind, grant.name, grant.is_future) for grant in held}
    return tuple(
        need
        for need in wanted
        if (need.privilege, need.kind, need.name, need.is_future) not in has
        and ("OWNERSHIP", need.kind, need.name, need.is_future) not in has
    )


def excess(
    settings: SnowflakeSettings, step: Step, role: str, held: Collection[Held], allowed: Collection[str]
) -> tuple[Excess, ...]:
    """Privileges that wrongly let a step's role read protected attributes, or grant itself the right to.

    `allowed` are the roles of the steps in `MAY_READ_PROTECTED`.
    """
    if step in MAY_READ_PROTECTED:
        return ()
    inside = f"{quoted(settings.database)}.{PROTECTED.upper()}"
    if role in allowed:
        what = f"Step {step} uses {role}, the role of a step that reads {inside}"
        return (Excess(what, f"set LIFECYCLE_SNOWFLAKE_ROLE_{step.upper()} to a separate role"),)
    return tuple(
        _excessive(grant, role, step)
        for grant in held
        if grant.name == inside or _is_in(grant.name, inside) or (grant.privilege, grant.kind) == _ADMINISTERS
    )


_ADMINISTERS = ("MANAGE GRANTS", "ACCOUNT")


def _excessive(grant: Held, role: str, step: Step) -> Excess:
    inherited = f", which it inherits from {grant.through}" if grant.through != role else ""
    on = f"future {grant.kind.lower()}s in schema" if grant.is_future else grant.kind.lower()
    name = "" if grant.kind == "ACCOUNT" else f" {grant.name}"
    what = f"{role} (step {step}) holds {grant.privilege} on {on}{name}{inherited}"
    if grant.privilege == "OWNERSHIP":
        return Excess(what, f"grant ownership on {on}{name} to another role")
    return Excess(what, f"revoke {grant.privilege.lower()} on {on}{name} from role {quoted(grant.through)};")


def quoted(identifier: str) -> str:
    """An identifier of the settings as SHOW prints it: upper case, or in quotes where necessary."""
    if identifier.startswith('"') and identifier.endswith('"') and len(identifier) > 2:
        inner = identifier[1:-1]
        return inner if _PLAIN.fullmatch(inner) else identifier
    upper = identifier.upper()
    return upper if _PLAIN.fullmatch(upper) else '"' + identifier.replace('"', '""') + '"'


def _is_in(name: str, schema: str) -> bool:
    return name.startswith(f"{schema}.")
