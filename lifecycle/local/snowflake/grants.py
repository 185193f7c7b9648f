"""The account's roles and grants, as the GRANT statements of a setup script make them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.local.snowflake.statements import normal

CREATED_ON = "2026-01-01 00:00:00.000 +0000"
"""When everything was granted; the script does not say."""
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

_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\$\$.*?\$\$|;|[^;'\"$/-]+|.", re.DOTALL)
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*'
_GRANT_ROLE = re.compile(rf"grant\s+role\s+({_NAME})\s+to\s+(role|user)\s+({_NAME})$", re.IGNORECASE)
_GRANT = re.compile(
    rf"grant\s+(?P<privileges>[\w\s,]+?)\s+on\s+(?:(?P<reach>future|all)\s+(?P<kinds>[\w\s]+?)\s+in\s+(?P<scope>schema|"
    rf"database)\s+(?P<inside>{_NAME})|(?P<kind>[\w\s]+?)\s+(?P<name>{_NAME}))\s+to\s+(?:role\s+)?(?P<role>{_NAME})"
    r"(?P<option>\s+with\s+grant\s+option)?$",
    re.IGNORECASE,
)
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


def statements(script: str) -> Iterator[str]:
    """The statements of a script, without comments and semicolons, white space as single spaces outside of literals."""
    parts: list[str] = []
    for token in [*_TOKEN.findall(script), ";"]:
        if token[0] == ";":
            text = "".join(parts).strip()
            if text:
                yield text
            parts = []
        elif token.startswith(("--", "/*")):
            parts.append(" ")
        elif token[0] in "'\"$":
            parts.append(token)
        else:
            parts.append(re.sub(r"\s+", " ", token))


@dataclass(frozen=True)
class Grant:
    """A privilege on one object, or (`future`) on what will be made of a kind inside of `name`."""

    privilege: str
    kind: str
    name: str
    role: str
    future: bool = False
    inside: bool = False
    """Whether `name` is the schema or database, and `kind` what lies in it."""
    option: bool = False


@dataclass
class Account:
    """Roles, members and grants of a script; empty where there is no script."""

    roles: set[str] = field(default_factory=lambda: set(SYSTEM_ROLES))
    warehouses: set[str] = field(default_factory=set)
    user: str | None = None
    """The first user that the script makes: the local user stands for it."""
    secondary_roles: str = ""
    """``ALL`` where that user's sessions have all of its roles at once, which is Snowflake's default."""
    members: list[tuple[str, str, str]] = field(default_factory=list)
    """Role, ROLE or USER, and who got it."""
    grants: list[Grant] = field(default_factory=list)

    def rights(
        self, role: str, relations: Sequence[tuple[str, str]], owners: dict[tuple[str, str], str]
    ) -> set[tuple[str, str, str]]:
        """Privilege, kind and name of everything that a role holds, itself and by roles that it inherits."""
        found: set[tuple[str, str, str]] = set()
        todo, known = [role], {role}
        while todo:
            for row in self._held(todo.pop(), relations, owners):
                right = (str(row[1]), str(row[2]), str(row[3]))
                if right[:2] == ("USAGE", "ROLE") and right[2] not in known:
                    known.add(right[2])
                    todo.append(right[2])
                found.add(right)
        return found

    def schemas(self) -> list[str]:
        """Qualified names of the schemas that the script makes."""
        return [grant.name for grant in self.grants if (grant.privilege, grant.kind) == ("OWNERSHIP", "SCHEMA")]

    def allows(self, role: str) -> bool:
        """Whether the local user may use a role."""
        granted = {member_role for member_role, to, member in self.members if (to, member) == ("USER", self.user)}
        return role in granted | {"PUBLIC"} or self.roles == SYSTEM_ROLES

    def knows(self, role: str) -> bool:
        """Whether there is such a role; any is where no script made one."""
        return role in self.roles or self.roles == SYSTEM_ROLES

    def shown(
        self, sql: str, user: str, relations: Sequence[tuple[str, str]], owners: dict[tuple[str, str], str]
    ) -> tuple[Sequence[str], list[list[str | None]]]:
        """Columns and rows of SHOW GRANTS, given the tables and views that exist and who made what.

        Raises
        ------
        ValueError
            If this form of SHOW GRANTS is not known here.
        LookupError
            If there is no such role.
        """
        found = _SHOW.match(sql)
        if not found:
            raise ValueError(sql)
        kind, name = (found["kind"] or "user").upper(), normal(found["name"] or user)
        if kind == "USER" and name == user:
            name = self.user or user
        way = (found["way"] or "to").lower()
        if kind == "ROLE" and not self.knows(name):
            raise LookupError(name)
        if found[1]:
            return FUTURE_COLUMNS, self._future(kind, name)
        if way == "on":
            return ROLE_COLUMNS, self._held_on(kind, name, relations, owners)
        if way == "of" or kind == "USER":
            return MEMBER_COLUMNS, [
                [CREATED_ON, role, to, member, "USERADMIN"]
                for role, to, member in self.members
                if (role == name if way == "of" else (to, member) == ("USER", name))
            ]
        return ROLE_COLUMNS, self._held(name, relations, owners)

    def _future(self, kind: str, name: str) -> list[list[str | None]]:
        return [
            [CREATED_ON, grant.privilege, grant.kind, f"{grant.name}.<{grant.kind}>", "ROLE", grant.role, "false"]
            for grant in self.grants
            if grant.future and (grant.role if kind == "ROLE" else grant.name) == name
        ]

    def _held_on(
        self, kind: str, name: str, relations: Sequence[tuple[str, str]], owners: dict[tuple[str, str], str]
    ) -> list[list[str | None]]:
        held = [row for role in sorted(self.roles) for row in self._held(role, relations, owners)]
        return [row for row in held if (row[2], row[3]) == (kind, name)]

    def _held(
        self, role: str, relations: Sequence[tuple[str, str]], owners: dict[tuple[str, str], str]
    ) -> list[list[str | None]]:
        held = dict.fromkeys(
            (grant.privilege, kind, name, "true" if grant.option else "false")
            for grant in self.grants
            if grant.role == role
            for kind, name in self._objects(grant, relations)
        )
        held |= dict.fromkeys(
            ("OWNERSHIP", kind, name, "true")
            for (kind, name), owner in owners.items()
            if owner == role and (kind == "STAGE" or (kind, name) in relations)
        )
        inherited = [(child, to, member) for child, to, member in self.members if (to, member) == ("ROLE", role)]
        held |= dict.fromkeys(("USAGE", "ROLE", child, "false") for child, _, _ in inherited)
        return [
            [CREATED_ON, privilege, kind, name, "ROLE", role, option, "SYSADMIN"]
            for privilege, kind, name, option in held
        ]

    def _objects(self, grant: Grant, relations: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        if not grant.inside:
            yield grant.kind, grant.name
            return
        for kind, name in relations:
            if kind == grant.kind and name.startswith(f"{grant.name}."):
                yield kind, name


class Setup:
    """The account of a script that may be edited while the endpoint runs."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._read_at: int | None = None
        self._account = Account()

    @property
    def account(self) -> Account:
        """As the script has it now."""
        changed_at = self._script.stat().st_mtime_ns if self._script.exists() else None
        if changed_at != self._read_at:
            self._account, self._read_at = read_account(self._script), changed_at
        return self._account


def read_account(script: Path) -> Account:
    """What a setup script makes; nothing if there is no such file."""
    account = Account()
    if not script.exists():
        return account
    current = "ACCOUNTADMIN"
    for statement in statements(script.read_text()):
        if use := _USE_ROLE.match(statement):
            current = normal(use[1])
        elif created := _CREATE.match(statement):
            _add_created(account, re.sub(r"\s+", " ", created[1].upper()), normal(created[2]), current)
            if created[1].lower() == "user" and account.user is None:
                account.user = normal(created[2])
                account.secondary_roles = "" if _NO_SECONDARY_ROLES.search(statement) else "ALL"
        elif membership := _GRANT_ROLE.match(statement):
            account.members.append((normal(membership[1]), membership[2].upper(), normal(membership[3])))
        elif grant := _GRANT.match(statement):
            account.grants.extend(_granted(grant))
    return account


def _add_created(account: Account, kind: str, name: str, owner: str) -> None:
    if kind == "ROLE":
        account.roles.add(name)
    elif kind == "WAREHOUSE":
        account.warehouses.add(name)
    account.grants.append(Grant("OWNERSHIP", kind, name, owner, option=True))


def _granted(found: re.Match[str]) -> Iterator[Grant]:
    kinds = re.sub(r"\s+", " ", (found["kinds"] or found["kind"]).upper())
    for privilege in found["privileges"].split(","):
        yield Grant(
            re.sub(r"\s+", " ", privilege.strip().upper()),
            kinds.removesuffix("S") if found["kinds"] else kinds,
            normal(found["inside"] or found["name"]),
            normal(found["role"]),
            future=(found["reach"] or "").lower() == "future",
            inside=bool(found["reach"]),
            option=bool(found["option"]),
        )
