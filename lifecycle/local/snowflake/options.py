"""What a local endpoint is started with."""

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
"""Virtual warehouses as the setup script makes them."""


@dataclass(frozen=True)
class Options:
    """One endpoint: where it listens, where its files lie, and what it does beside answering."""

    port: int
    home: Path
    setup: Path = SETUP
    """Script whose GRANT statements are shown as the account's."""
    log: Path | None = None
    """File that gets one JSON line per statement."""
    faults: bool = False
    """Whether faults may be asked for over HTTP; for tests."""
    enforce: bool = False
    """Whether a statement is refused where the session's role was not granted what it needs."""
    public_key: Path | None = None
    """PEM of the key that `USER` may log in with beside the password."""
    abandoned_seconds: float = 300.0
    """After how long an idle transaction that others wait for is rolled back; five minutes in an account."""
