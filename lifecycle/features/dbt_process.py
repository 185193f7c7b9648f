"""The child process that is dbt: its command line, and an end when the process that started it ends.

Without that, a build that is killed would leave a dbt behind that goes on holding the warehouse's file after
the lock is free.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from lifecycle.features.snowflake_login import FURTHER_ARGUMENTS_VARIABLE, OAUTH_SECRET_VARIABLE
from lifecycle.warehouse.snowflake.converters import start_converters

WATCH_EVERY_SECONDS = 0.1


def end_with_parent() -> None:
    """Watch the parent process from a thread, and end this one at once when it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_EVERY_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def connect_with(further: Mapping[str, Any]) -> None:
    """Give each connection to Snowflake of this process `further` arguments of the connector.

    dbt-snowflake hands on what a profile may hold and nothing else: neither how long to go on with a network that
    fails (for ever, without it), nor parameters of the session, nor an OAuth client. To be removed when it does.
    """
    import snowflake.connector

    connect = snowflake.connector.connect

    def connect_further(**arguments: Any) -> Any:
        session = {**arguments.get("session_parameters", {}), **further.get("session_parameters", {})}
        return connect(**{**arguments, **further, "session_parameters": session})

    snowflake.connector.connect = connect_further  # type: ignore[assignment] # takes what dbt gives


def further_arguments(environment: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of the connector that `environment` holds; none where Snowflake is not the target."""
    arguments: dict[str, Any] = json.loads(environment.get(FURTHER_ARGUMENTS_VARIABLE, "{}"))
    if secret := environment.get(OAUTH_SECRET_VARIABLE):
        arguments["oauth_client_secret"] = secret
    return arguments


def main() -> None:
    """Run dbt with this process's arguments."""
    end_with_parent()
    if further := further_arguments(os.environ):
        start_converters()  # before dbt's threads
        connect_with(further)
    from dbt.cli.main import cli

    cli()


if __name__ == "__main__":
    main()
