"""Deletes rows of several tables, each step's tables in one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import Step
from lifecycle.spec.model_files import read_specs
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.interface import Session

_INTERMEDIATE = ("int_customer_windows", "int_terminal_windows", "int_reported_transactions")
_SERIALS: Mapping[Step, str] = {"load": "loads", "log": "decisions"}
"""Other transactions that must not run at the same time; builds of this machine wait for the session."""


@dataclass(frozen=True)
class Rows:
    """A condition in SQL, and the values of its parameters."""

    condition: str
    parameters: tuple[object, ...]


def built_tables() -> list[str]:
    """Tables that the feature builds fill, with a row for each transaction or some of them."""
    marts = {name for spec in read_specs().values() for name in (spec.mart, spec.label.relation) if name}
    return [*(f"marts.{name}" for name in sorted(marts)), *(f"intermediate.{name}" for name in _INTERMEDIATE)]


def delete_rows(
    settings: Settings,
    step: Step,
    rows: Mapping[str, Rows],
    purpose: str,
    *,
    is_counting: bool = False,
    and_record: Callable[[Session, Mapping[str, int]], None] | None = None,
) -> dict[str, int]:
    """Delete the matching rows of the tables that exist, in order, or count them; returns their numbers.

    Parameters
    ----------
    step
        Whose role writes these tables.
    purpose
        What waiting processes log.
    and_record
        Called with the session and the numbers, in the transaction that deletes.
    """
    warehouse = open_warehouse(settings, Use(step))
    present = {
        row["name"]
        for row in warehouse.query(
            "select lower(table_schema) || '.' || lower(table_name) as name from information_schema.tables"
        ).to_pylist()
    }

    def attempt() -> dict[str, int]:
        counts = {}
        with warehouse.session(purpose) as session, session.transaction(serial=_SERIALS.get(step)):
            for table, matching in rows.items():
                if table not in present:
                    continue
                where = f"from {table} where {matching.condition}"
                counted = session.query(f"select count(*) as row_count {where}", matching.parameters)
                counts[table] = int(counted.column(0)[0].as_py())
                if counts[table] and not is_counting:
                    session.execute(f"delete {where}", matching.parameters)
            if and_record is not None and not is_counting:
                and_record(session, counts)
        return counts

    return warehouse.retrying(attempt)
