"""The account's roles and grants, read from the statements of a setup script.

sqlglot splits the script and parses grants on objects. Three kinds of statements it returns as plain text
(``exp.Command``, as of version 30), and regular expressions read those: CREATE of roles, users, resource monitors and
schemas with managed access; GRANT ROLE; and the words ``FUTURE TABLES IN`` or ``ALL TABLES IN`` of a grant, without
which sqlglot parses the rest. It has no tree for SHOW GRANTS either.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlglot
from sqlglot import exp

from lifecycle.local.snowflake.statements import normal

CREATED_ON = "2026-01-01 00:00:00.000 +0000"
"""Time of every grant; the script does not contain one."""
SYSTEM_ROLES = frozenset({"ACCOUNTADMIN", "SECURITYADMIN", "USERADMIN", "SYSADMIN", "PUBLIC"})
ROLE_COLUMNS = (
    "created_on",
    "privilege",
    "granted_on",
    "name",
    "granted_to",
    "grantee_name",
    "grant_option",
    "granted_by",
)
FUTURE_COLUMNS = ("created_on", "privilege", "grant_on", "name", "grant_to", "grantee_name", "grant_option")
MEMBER_COLUMNS = ("created_on", "role", "granted_to", "grantee_name", "granted_by")

_NAME = r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*'
_GRANT_ROLE = re.compile(rf"grant\s+role\s+({_NAME})\s+to\s+(role|user)\s+({_NAME})$", re.IGNORECASE)
_INSIDE = re.compile(r"(?<=\son\s)(future|all)\s+([\w\s]+?)s\s+in\s+(?=(?:schema|database)\s)", re.IGNORECASE)
_CREATE = re.compile(
    r"create\s+(?:or\s+replace\s+)?(role|warehouse|user|database|schema|stage|resource\s+monitor)\s+"
    rf"(?:if\s+not\s+exists\s+)?({_NAME})",
    re.IGNORECASE,
)
_NO_SECONDARY_ROLES = re.compile(r"default_secondary_roles\s*=\s*\(\s*\)", re.IGNORECASE)
_USE_ROLE = re.compile(rf"use\s+role\s+({_NAME})$", re.IGNORECASE)
_SHOW = re.compile(
    rf"show\s+(future\s+)?grants(?:\s+(?P<way>to|of|in|on)\s+(?P<kind>role|user|schema|database|table|view)\s+(?P<name>{_NAME}))?\s*;?\s*$",
    re.IGNORECASE,
)

Object = tuple[str, str]
"""Kind and qualified name."""
Right = tuple[str, str, str]
"""Privilege, kind and qualified name of the object that it is on."""


def statements(script: str) -> Iterator[str]:
    """The statements of a script without comments and semicolons; white space outside of literals is one space."""
    text, end = "", 0
    for token in sqlglot.tokenize(script, read="snowflake"):
        if token.token_type is sqlglot.TokenType.SEMICOLON:
            if text:
                yield text
            text = ""
        else:
            text += (" " if text and token.start > end else "") + script[token.start : token.end + 1]
        end = token.end + 1
    if text:
        yield text


@dataclass(frozen=True)
class Grant:
    """A privilege on one object, or (`is_inside`) on the objects of a kind inside of `name`."""

    privilege: str
    kind: str
    name: str
    role: str
    is_future: bool = False
    """Whether the objects inside are those that will be created."""
    is_inside: bool = False
    """Whether `name` is a schema or database, and `kind` the kind of the objects in it."""
    has_option: bool = False
    """Whether the role may grant the privilege to others."""


@dataclass(frozen=True)
class Objects:
    """What exists in the account: tables and views, and the role that created each table, view and stage."""

    relations: Sequence[Object]
    owners: Mapping[Object, str]


@dataclass
class Account:
    """Roles, members and grants of a script; empty if there is no script."""

    roles: set[str] = field(default_factory=lambda: set(SYSTEM_ROLES))
    warehouses: set[str] = field(default_factory=set)
    user: str | None = None
    """The first user that the script creates; the local user has its roles."""
    secondary_roles: str = ""
    """``ALL`` if that user's sessions have all of its roles at once, which is Snowflake's default."""
    members: list[tuple[str, str, str]] = field(default_factory=list)
    """Role, ROLE or USER, and the name that the role was granted to."""
    grants: list[Grant] = field(default_factory=list)

    def rights(self, role: str, objects: Objects) -> set[Right]:
        """Everything that a role holds, directly and by roles that it inherits."""
        rights: set[Right] = set()
        todo, known = [role], {role}
        while todo:
            for privilege, kind, name, _ in self._held(todo.pop(), objects):
                if (privilege, kind) == ("USAGE", "ROLE") and name not in known:
                    known.add(name)
                    todo.append(name)
                rights.add((privilege, kind, name))
        return rights

    def schemas(self) -> list[str]:
        """Qualified names of the schemas that the script creates."""
        return [grant.name for grant in self.grants if (grant.privilege, grant.kind) == ("OWNERSHIP", "SCHEMA")]

    def allows(self, role: str) -> bool:
        """Whether the local user may use a role."""
        granted = {member_role for member_role, to, member in self.members if (to, member) == ("USER", self.user)}
        return role in granted | {"PUBLIC"} or self.roles == SYSTEM_ROLES

    def knows(self, role: str) -> bool:
        """Whether a role exists; every role does if no script creates any."""
        return role in self.roles or self.roles == SYSTEM_ROLES

    def shown(self, sql: str, user: str, objects: Objects) -> tuple[Sequence[str], list[list[str | None]]]:
        """Columns and rows of SHOW GRANTS.

        Raises
        ------
        ValueError
            If the endpoint does not support this form of SHOW GRANTS.
        LookupError
            If the role does not exist.
        """
        match = _SHOW.match(sql)
        if not match:
            raise ValueError(sql)
        kind, name = (match["kind"] or "user").upper(), normal(match["name"] or user)
        if kind == "USER" and name == user:
            name = self.user or user
        way = (match["way"] or "to").lower()
        if kind == "ROLE" and not self.knows(name):
            raise LookupError(name)
        if match[1]:
            return FUTURE_COLUMNS, self._future_rows(kind, name)
        if way == "on":
            rows = [row for role in sorted(self.roles) for row in self._role_rows(role, objects)]
            return ROLE_COLUMNS, [row for row in rows if (row[2], row[3]) == (kind, name)]
        if way == "of" or kind == "USER":
            return MEMBER_COLUMNS, [
                [CREATED_ON, role, to, member, "USERADMIN"]
                for role, to, member in self.members
                if (role == name if way == "of" else (to, member) == ("USER", name))
            ]
        return ROLE_COLUMNS, self._role_rows(name, objects)

    def _future_rows(self, kind: str, name: str) -> list[list[str | None]]:
        return [
            [CREATED_ON, grant.privilege, grant.kind, f"{grant.name}.<{grant.kind}>", "ROLE", grant.role, "false"]
            for grant in self.grants
            if grant.is_future and (grant.role if kind == "ROLE" else grant.name) == name
        ]

    def _role_rows(self, role: str, objects: Objects) -> list[list[str | None]]:
        return [
            [CREATED_ON, privilege, kind, name, "ROLE", role, str(has_option).lower(), "SYSADMIN"]
            for privilege, kind, name, has_option in self._held(role, objects)
        ]

    def _held(self, role: str, objects: Objects) -> list[tuple[str, str, str, bool]]:
        """Privilege, kind, name and grant option of what a role holds directly, each once."""
        held = [
            (grant.privilege, kind, name, grant.has_option)
            for grant in self.grants
            if grant.role == role
            for kind, name in _objects_of(grant, objects)
        ]
        held += [
            ("OWNERSHIP", kind, name, True)
            for (kind, name), owner in objects.owners.items()
            if owner == role and (kind == "STAGE" or (kind, name) in objects.relations)
        ]
        held += [
            ("USAGE", "ROLE", child, False) for child, to, member in self.members if (to, member) == ("ROLE", role)
        ]
        return list(dict.fromkeys(held))


def _objects_of(grant: Grant, objects: Objects) -> list[Object]:
    if not grant.is_inside:
        return [(grant.kind, grant.name)]
    return [
        (kind, name) for kind, name in objects.relations if kind == grant.kind and name.startswith(f"{grant.name}.")
    ]


class Setup:
    """The account of a script that may be edited while the endpoint runs."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._read_at: int | None = None
        self._account = Account()

    @property
    def account(self) -> Account:
        """The account of the script's current content."""
        changed_at = self._script.stat().st_mtime_ns if self._script.exists() else None
        if changed_at != self._read_at:
            self._account, self._read_at = read_account(self._script), changed_at
        return self._account


def read_account(script: Path) -> Account:
    """The account that a setup script creates; an empty one if the file does not exist."""
    account = Account()
    if not script.exists():
        return account
    current = "ACCOUNTADMIN"
    for statement in statements(script.read_text()):
        if use := _USE_ROLE.match(statement):
            current = normal(use[1])
        elif created := _CREATE.match(statement):
            kind, name = " ".join(created[1].upper().split()), normal(created[2])
            account.grants.append(Grant("OWNERSHIP", kind, name, current, has_option=True))
            if kind == "ROLE":
                account.roles.add(name)
            elif kind == "WAREHOUSE":
                account.warehouses.add(name)
            elif kind == "USER" and account.user is None:
                account.user = name
                account.secondary_roles = "" if _NO_SECONDARY_ROLES.search(statement) else "ALL"
        elif membership := _GRANT_ROLE.match(statement):
            account.members.append((normal(membership[1]), membership[2].upper(), normal(membership[3])))
        elif statement.lower().startswith("grant "):
            account.grants.extend(_grants(statement))
    return account


def _grants(statement: str) -> Iterator[Grant]:
    """The privileges that a GRANT statement grants; none if sqlglot does not parse it."""
    inside = _INSIDE.search(statement)
    parsed = sqlglot.parse_one(_INSIDE.sub("", statement, count=1), read="snowflake")
    if not isinstance(parsed, exp.Grant):
        return
    securable = parsed.args["securable"]
    # GRANT ... ON ACCOUNT names no object.
    kind, name = (parsed.args["kind"] or "ACCOUNT").upper(), normal(securable.sql(dialect="snowflake"))
    for privilege in parsed.args["privileges"]:
        yield Grant(
            " ".join(privilege.name.upper().split()),
            " ".join(inside[2].upper().split()) if inside else kind,
            name,
            normal(parsed.args["principals"][0].this.sql(dialect="snowflake")),
            is_future=inside is not None and inside[1].lower() == "future",
            is_inside=inside is not None,
            has_option=bool(parsed.args["grant_option"]),
        )
