"""Entry point of the dbt child process, which ends when its parent ends.

Otherwise a killed build would leave a dbt process that keeps the warehouse's file open after the lock is released.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from lifecycle.features.snowflake_login import FURTHER_ARGUMENTS_VARIABLE, OAUTH_SECRET_VARIABLE
from lifecycle.settings.parent_watch import end_with_parent
from lifecycle.warehouse.snowflake.converters import start_converters
from serving.storage.private_files import keep_files_private


def connect_with(further: Mapping[str, Any]) -> None:
    """Add `further` connector arguments to every Snowflake connection of this process.

    dbt-snowflake passes on only the keys of its profile, which has none for the network timeout (infinite by default),
    session parameters or an OAuth client. Remove this function when the profile has them.
    """
    import snowflake.connector

    connect = snowflake.connector.connect

    def connect_further(**arguments: Any) -> Any:
        session = {**arguments.get("session_parameters", {}), **further.get("session_parameters", {})}
        return connect(**{**arguments, **further, "session_parameters": session})

    snowflake.connector.connect = connect_further  # type: ignore[assignment] # takes what dbt gives


def further_arguments(environment: Mapping[str, str]) -> dict[str, Any]:
    """Connector arguments from `environment`; empty unless Snowflake is the target."""
    arguments: dict[str, Any] = json.loads(environment.get(FURTHER_ARGUMENTS_VARIABLE, "{}"))
    if secret := environment.get(OAUTH_SECRET_VARIABLE):
        arguments["oauth_client_secret"] = secret
    return arguments


def main() -> None:
    """Run dbt with this process's arguments."""
    keep_files_private()
    end_with_parent()
    if further := further_arguments(os.environ):
        start_converters()  # before dbt's threads
        connect_with(further)
    from dbt.cli.main import cli

    cli()


if __name__ == "__main__":
    main()
