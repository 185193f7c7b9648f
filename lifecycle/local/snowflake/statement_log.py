"""One JSON line per statement, for tests that check which statements were sent."""

import datetime as dt
import json
from pathlib import Path

from lifecycle.local.snowflake.sessions import LocalSession


class StatementLog:
    """Writes a line before the statement runs, so that the log contains statements that a crash interrupts.

    Keys of a line: at, session (number), request (id; a retry repeats it), user, role, warehouse, tag (QUERY_TAG),
    parameters (of the session), in_transaction, sql (as sent, without bound values).
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, session: LocalSession, request_id: str, sql: str) -> None:
        """Append one line if the log is enabled."""
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
