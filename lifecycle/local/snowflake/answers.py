"""Responses of Snowflake's protocol, as the connector reads them."""

import uuid
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

SESSION_EXPIRED = ("390112", "Session token has expired. Please renew it.")
MASTER_EXPIRED = ("390114", "Authentication token has expired. The user must authenticate again.")
SESSION_GONE = ("390104", "The session no longer exists. The user must log in again.")
LOCKED = (
    "000625",
    "57014",
    "A statement has locked table '{table}' in its transaction and this lock has not yet been released.",
)
TIMED_OUT = (
    "000630",
    "57014",
    "Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled.",
)


class Refused(Exception):  # noqa: N818 - a response, raised to leave
    """The session or the login is rejected, with an account's `code` and `message`."""

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Failed(Exception):  # noqa: N818 - a response, raised to leave
    """A statement failed."""

    def __init__(self, code: str, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.sqlstate = sqlstate
        self.message = message


class Truncated(Response):
    """A response of which only the headers arrive: the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the headers and no body."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})


async def refusal(_request: Request, refused: Exception) -> Response:
    """The response to a request whose session or login is rejected; Starlette's handler of `Refused`."""
    assert isinstance(refused, Refused)  # noqa: S101 - registered for this class
    return JSONResponse(
        {"data": None, "code": refused.code, "message": refused.message, "success": False, "headers": None},
        status_code=refused.status,
    )


def failure(failed: Failed) -> Response:
    """The response to a statement that failed."""
    return JSONResponse(
        {
            "data": {"errorCode": failed.code, "sqlState": failed.sqlstate, "queryId": str(uuid.uuid4())},
            "code": failed.code,
            "message": f"{failed.code} ({failed.sqlstate}): {failed.message}",
            "success": False,
        }
    )


def rows(columns: Sequence[str], values: Sequence[Sequence[str | None]], **more: object) -> Response:
    """A small result of text columns, in JSON as an account answers SHOW; `more` is added to the response's data."""
    rowtype = [
        {"name": column, "type": "text", "nullable": True, "length": 16777216, "byteLength": 16777216,
         "precision": None, "scale": None, "database": "", "schema": "", "table": "", "collation": None}
        for column in columns
    ]  # fmt: skip
    return JSONResponse(
        {
            "data": {
                "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}],
                "rowtype": rowtype,
                "rowset": [list(row) for row in values],
                "queryResultFormat": "json",
                "total": len(values),
                "returned": len(values),
                "queryId": str(uuid.uuid4()),
                "statementTypeId": 0x6000,
                **more,
            },
            "success": True,
        }
    )


def done(**more: object) -> Response:
    """The response to a statement without rows."""
    return rows(["status"], [["Statement executed successfully."]], **more)
