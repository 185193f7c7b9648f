"""The account as a resource of dagster-snowflake."""

from typing import TYPE_CHECKING

from lifecycle.settings.snowflake import SnowflakeSettings
from lifecycle.warehouse.interface import Use
from lifecycle.warehouse.snowflake.connection import connection_arguments
from lifecycle.warehouse.snowflake.converters import start_converters

if TYPE_CHECKING:
    from dagster_snowflake import SnowflakeResource

_FIELDS = (
    "account",
    "user",
    "password",
    "database",
    "role",
    "warehouse",
    "authenticator",
    "login_timeout",
    "network_timeout",
    "paramstyle",
    "client_session_keep_alive",
    "validate_default_parameters",
)


def snowflake_resource(settings: SnowflakeSettings, use: Use) -> "SnowflakeResource":
    """dagster-snowflake's resource that logs in as the platform does, under the same tag.

    Raises
    ------
    LifecycleError
        If a setting is missing or wrong.
    """
    from dagster_snowflake import SnowflakeResource

    arguments = connection_arguments(settings, use)
    start_converters()
    fields = {name: arguments.pop(name) for name in _FIELDS if name in arguments}
    if "private_key" in arguments:
        # What it asks for is a login of its own; the key in the connector's form is among the other arguments.
        fields.setdefault("authenticator", "SNOWFLAKE_JWT")
    return SnowflakeResource(**fields, additional_snowflake_connection_args=arguments)
