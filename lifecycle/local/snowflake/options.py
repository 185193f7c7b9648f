"""Options of a local endpoint."""

from dataclasses import dataclass
from pathlib import Path

from lifecycle.settings.platform import PROJECT_ROOT
from lifecycle.settings.snowflake import Step

SETUP = PROJECT_ROOT / "deploy" / "snowflake" / "setup.sql"
ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8084
DEFAULT_HOME = Path(".lifecycle/local_snowflake")
ACCOUNT = USER = PASSWORD = "local"  # noqa: S105 - no secret: the endpoint listens on this machine alone
WAREHOUSE = "LOCAL"
WAREHOUSES: dict[Step, str] = {
    "load": "LIFECYCLE_LOAD_WH",
    "transform": "LIFECYCLE_TRANSFORM_WH",
    "train": "LIFECYCLE_TRAIN_WH",
    "log": "LIFECYCLE_READ_WH",
    "fairness": "LIFECYCLE_READ_WH",
    "read": "LIFECYCLE_READ_WH",
}
"""Virtual warehouses that the setup script creates."""


@dataclass(frozen=True)
class Options:
    """Port, files and behaviour of one endpoint."""

    port: int
    home: Path
    setup: Path = SETUP
    """Script whose GRANT statements SHOW GRANTS returns."""
    log: Path | None = None
    """File for one JSON line per statement."""
    faults: bool = False
    """Whether tests may inject faults over HTTP."""
    enforce: bool = False
    """Whether statements that the session's role lacks privileges for are rejected."""
    public_key: Path | None = None
    """PEM of a key that `USER` may log in with, in addition to the password."""
    abandoned_seconds: float = 300.0
    """Idle time after which a transaction that others wait for is rolled back; five minutes in an account."""
