"""Folders and environment variables of dbt for one installation."""

from pathlib import Path

from lifecycle.features.snowflake_login import login_environment
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use

TRANSFORM = Use(step="transform")


def dbt_state_dir(settings: Settings) -> Path:
    """Folder of all that dbt writes outside the warehouse: targets, logs, manifests."""
    return settings.root / "dbt"


def dbt_environment(
    settings: Settings, target_path: Path, use: Use = TRANSFORM, project: Path | None = None
) -> dict[str, str]:
    """Variables that dbt and the project's `profiles.yml` read; they override those of this process.

    Parameters
    ----------
    settings
        The installation.
    target_path
        Folder for dbt's artifacts and its log.
    use
        Purpose of the run; decides role, virtual warehouse and query tag in Snowflake.
    project
        Folder of the dbt project; by default the shipped one.

    Raises
    ------
    LifecycleError
        If a setting of the Snowflake account is missing or wrong.
    """
    login = login_environment(settings.snowflake, use) if settings.target == "snowflake" else {}
    return {
        **login,
        "LIFECYCLE_TARGET": settings.target,
        "LIFECYCLE_WAREHOUSE_PATH": str(settings.warehouse_path),
        "LIFECYCLE_DUCKDB_MEMORY_LIMIT": settings.duckdb_memory_limit,
        "LIFECYCLE_DUCKDB_THREADS": str(settings.duckdb_threads),
        "DBT_PROJECT_DIR": str(project or settings.dbt_project_dir),
        "DBT_PROFILES_DIR": str(settings.dbt_project_dir),
        "DBT_TARGET_PATH": str(target_path),
        "DBT_LOG_PATH": str(target_path),
        "DBT_LOG_LEVEL_FILE": "info",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
