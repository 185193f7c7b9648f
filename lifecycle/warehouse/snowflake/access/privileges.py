"""What each step has to be granted in an account, and how that compares with what its role holds.

Sources: https://docs.snowflake.com/en/user-guide/security-access-control-privileges (what a statement needs),
https://docs.snowflake.com/en/sql-reference/sql/grant-privilege (future grants, managed access).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.settings.snowflake import STEPS, SnowflakeSettings, Step
from lifecycle.warehouse.raw_tables import LOADS_TABLE, PROTECTED, RAW
from lifecycle.warehouse.reading.decisions import DECISIONS, OFFSETS

MAY_READ_PROTECTED: frozenset[Step] = frozenset({"load", "fairness"})
"""The step that writes protected attributes, and the gate that is there to judge by them."""

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
"""Privileges on schemas; temporary tables need none, temporary stages are not said to be exempt."""

READS: Mapping[Step, tuple[tuple[str, str], ...]] = {
    "load": (),
    "transform": (("raw", "TABLE"),),
    "train": (("marts", "TABLE"),),
    "log": (),
    "fairness": ((PROTECTED, "TABLE"), ("marts", "TABLE")),
    "read": (("raw", "TABLE"), ("staging", "VIEW"), ("intermediate", "TABLE"), ("marts", "TABLE")),
}
"""Schemas all of whose tables (or views) a step reads, those made later as well."""

CHANGES: Mapping[Step, tuple[str, ...]] = {
    "load": (*(relation.table for relation in RAW.values()), LOADS_TABLE, "raw.loads_lock"),
    "transform": (),
    "train": (),
    "log": (DECISIONS, OFFSETS, "raw.decisions_lock"),
    "fairness": (),
    "read": (),
}
"""Tables whose rows a step changes; its role owns those that it has made itself."""
CHANGE = ("SELECT", "INSERT", "UPDATE", "DELETE")

REPLACES: Mapping[Step, tuple[str, ...]] = dict.fromkeys(STEPS, ()) | {
    "transform": ("staging", "intermediate", "marts")
}
"""Schemas whose tables and views a step makes anew, which only their owner may."""

_PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*")


@dataclass(frozen=True)
class Need:
    """A privilege that a step has to have: on one object, or (`is_future`) on what will be made in a schema."""

    privilege: str
    kind: str
    name: str
    is_future: bool = False

    def grant(self, role: str) -> str:
        """The statement that mends its lack."""
        if self.privilege == "OWNERSHIP":
            return f"grant ownership on {self.kind.lower()} {self.name} to role {quoted(role)} copy current grants;"
        on = f"future {self.kind.lower()}s in schema" if self.is_future else self.kind.lower()
        return f"grant {self.privilege.lower()} on {on} {self.name} to role {quoted(role)};"


@dataclass(frozen=True)
class Held:
    """A privilege that a role holds; `through` is the role that it was granted to, itself or one it inherits."""

    privilege: str
    kind: str
    name: str
    through: str
    is_future: bool = False


@dataclass(frozen=True)
class Excess:
    """Something that opens the protected attributes to somebody who should not have them."""

    what: str
    remedy: str


Relation = tuple[Literal["TABLE", "VIEW"], str]
"""Kind and qualified name of a table or view."""


def needs(settings: SnowflakeSettings, step: Step, relations: Collection[Relation] = ()) -> tuple[Need, ...]:
    """Everything that a step has to be granted, given the tables and views that are there."""
    database = quoted(settings.database)
    found = [Need("USAGE", "DATABASE", database)]
    if warehouse := settings.warehouse_of(step):
        found.insert(0, Need("USAGE", "WAREHOUSE", quoted(warehouse)))
    for schema, privileges in ON_SCHEMAS[step].items():
        found += [Need(privilege, "SCHEMA", f"{database}.{schema.upper()}") for privilege in privileges]
    for schema, kind in READS[step]:
        inside = f"{database}.{schema.upper()}"
        found.append(Need("SELECT", kind, inside, is_future=True))
        found += [Need("SELECT", kind, name) for other, name in relations if other == kind and _is_in(name, inside)]
    changed = {f"{database}.{table.upper()}" for table in CHANGES[step]}
    found += [Need(privilege, kind, name) for kind, name in relations if name in changed for privilege in CHANGE]
    for schema in REPLACES[step]:
        inside = f"{database}.{schema.upper()}"
        found += [Need("OWNERSHIP", kind, name) for kind, name in relations if _is_in(name, inside)]
    return tuple(dict.fromkeys(found))


def missing(wanted: Iterable[Need], held: Collection[Held]) -> tuple[Need, ...]:
    """The needs that nothing held meets; an owner may do everything with what it owns."""
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
    """What lets a step's role read protected attributes, or give itself the right to, though it should not.

    `allowed` are the roles of the steps in `MAY_READ_PROTECTED`.
    """
    if step in MAY_READ_PROTECTED:
        return ()
    inside = f"{quoted(settings.database)}.{PROTECTED.upper()}"
    if role in allowed:
        what = f"Step {step} uses {role}, the role of a step that reads {inside}"
        return (Excess(what, f"set LIFECYCLE_SNOWFLAKE_ROLE_{step.upper()} to a role of its own"),)
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
    """An identifier of the settings as statements and SHOW have it: upper case, or in quotes where it must be."""
    if identifier.startswith('"') and identifier.endswith('"') and len(identifier) > 2:
        inner = identifier[1:-1]
        return inner if _PLAIN.fullmatch(inner) else identifier
    upper = identifier.upper()
    return upper if _PLAIN.fullmatch(upper) else '"' + identifier.replace('"', '""') + '"'


def _is_in(name: str, schema: str) -> bool:
    return name.startswith(f"{schema}.")
