"""Rows that refer to rows of another table: those must be loaded, and must not be later."""

from collections.abc import Callable
from dataclasses import dataclass

from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.raw_tables import Declarations, RawRelation, sql_type

Refuse = Callable[[str, str, str, str, str | None], None]
"""Called with the table of staged rows, SQL of the refused keys, what is expected, what was got, and the remedy."""


@dataclass(frozen=True)
class References:
    """References of one staged table: the scratch table `found` has the event that each row refers to."""

    relation: RawRelation
    target: RawRelation
    found: str

    def refuse(self, session: Session, staged: str, refuse: Refuse) -> None:
        """Reject rows whose row is not loaded, or came later; fills the scratch table."""
        key, event_at, target = self.relation.key, self.relation.event_at, self.target
        # One scan of the table that is referred to, with the few staged rows as the hashed side of the join.
        session.execute(
            f"insert into {self.found} select s.{key}, s.{event_at}, min(t.{target.event_at}) "
            f"from {target.table} t join {staged} s on s.{key} = t.{key} "
            f"where t.{key} between (select min({key}) from {staged}) and (select max({key}) from {staged}) "
            f"group by s.{key}, s.{event_at}"
        )
        unknown = f"select {key} from {staged} where {key} not in (select {key} from {self.found})"
        early = f"select {key} from {self.found} where event_at < target_event_at"
        name, other = self.relation.name, target.name
        refuse(staged, unknown, f"{name} of loaded {other}", f"of unknown {other}", f"Load the {other} first.")
        refuse(staged, early, f"{name} from after their {other}", f"from before their {other}", None)


def references_of(session: Session, declared: Declarations, relation: RawRelation, timestamp: str) -> References | None:
    """The references of a table, with a new scratch table; ``None`` if it refers to no other."""
    if relation.refers_to is None or relation.event_at is None:
        return None
    target = declared.tables[relation.refers_to]
    types = (
        sql_type(relation.column(relation.key), timestamp),
        sql_type(relation.column(relation.event_at), timestamp),
        sql_type(target.column(target.event_at or ""), timestamp),
    )
    columns = f"{relation.key} {types[0]}, event_at {types[1]}, target_event_at {types[2]}"
    return References(relation, target, session.scratch(f"referred_{relation.name}", columns))
