"""One JSON line per statement, for tests that read what was really sent."""

import datetime as dt
import json
from pathlib import Path

from lifecycle.local.snowflake.sessions import LocalSession


class StatementLog:
    """Appends before a statement runs: what a crash interrupts is in it.

    Keys of a line: at, session (number), request (id; repeated where the connector asked again), user, role, warehouse,
    tag (QUERY_TAG), parameters (of the session), in_transaction, sql (as sent: bound values are not part of it).
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, session: LocalSession, request_id: str, sql: str) -> None:
        """Add one line, where a log was asked for."""
        if self._path is None:
            return
        line = {
            "at": dt.datetime.now(dt.UTC).isoformat(),
            "session": session.number,
            "request": request_id,
            "user": session.user,
            "role": session.role,
            "warehouse": session.warehouse,
            "tag": session.parameters.get("QUERY_TAG"),
            "parameters": session.parameters,
            "in_transaction": session.in_transaction,
            "sql": sql,
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
