"""Settings of a Snowflake account, read from ``LIFECYCLE_SNOWFLAKE_*`` environment variables."""

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from lifecycle.errors import LifecycleError

Step = Literal["load", "transform", "train", "log", "fairness", "read"]
"""Purpose of a connection: raw rows, dbt, training sets, the decision log, protected attributes, all other reads."""
STEPS: tuple[Step, ...] = get_args(Step)

PREFIX = "LIFECYCLE_SNOWFLAKE_"


class SnowflakeSettings(BaseSettings):
    """Account, login, and which role and virtual warehouse each step uses.

    Secrets are `SecretStr`, which prints as asterisks.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    account: str | None = None
    user: str | None = None
    database: str = "LIFECYCLE"

    authenticator: str | None = None
    """The connector's name of the method, for example ``externalbrowser`` or ``oauth``; ``None`` for a key."""
    private_key_file: Path | None = None
    private_key: SecretStr | None = None
    """PEM text of the key, where there is no file."""
    private_key_passphrase: SecretStr | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: SecretStr | None = None
    oauth_token_request_url: str | None = None

    role: str | None = None
    """Default role of the steps; ``None`` for the user's default role."""
    role_load: str | None = None
    role_transform: str | None = None
    role_train: str | None = None
    role_log: str | None = None
    role_fairness: str | None = None
    role_read: str | None = None

    warehouse: str | None = None
    """Default virtual warehouse of the steps."""
    warehouse_load: str | None = None
    warehouse_transform: str | None = None
    warehouse_train: str | None = None
    warehouse_log: str | None = None
    warehouse_fairness: str | None = None
    warehouse_read: str | None = None

    statement_timeout_seconds: int = Field(default=3600, ge=1, le=604800)
    lock_timeout_seconds: int = Field(default=1800, ge=1)
    login_timeout_seconds: int = Field(default=60, ge=1)
    network_timeout_seconds: int = Field(default=120, ge=1)
    """How long the connector retries one request over a failing network."""
    attempts: int = Field(default=3, ge=1)
    """Attempts in all of an operation that may be retried."""

    host: str | None = None
    """Host, port and protocol of another endpoint than the account's own, for example a local one."""
    port: int | None = None
    protocol: Literal["https", "http"] = "https"

    @property
    def private_key_text(self) -> str | None:
        """`private_key` in plain text; in an environment its line ends are often escaped."""
        return self.private_key.get_secret_value().replace("\\n", "\n") if self.private_key else None

    def role_of(self, step: Step) -> str | None:
        """Role that a step connects with."""
        own: str | None = getattr(self, f"role_{step}")
        return own or self.role

    def warehouse_of(self, step: Step) -> str | None:
        """Virtual warehouse that a step runs on."""
        own: str | None = getattr(self, f"warehouse_{step}")
        return own or self.warehouse

    def expect_complete(self, step: Step) -> None:
        """Reject settings that cannot connect.

        Raises
        ------
        LifecycleError
            Names every setting that is missing or contradicts another, and what to set.
        """
        problems = [*self._missing(step), *self._contradictions()]
        if problems:
            raise LifecycleError(
                f"Expected the settings of a Snowflake account, got {'; '.join(problems)} - in the environment. "
                "See docs/snowflake.md, or run `lifecycle warehouse check` after setting them."
            )

    def _missing(self, step: Step) -> list[str]:
        # With OAuth the token names the user.
        has_user = self.user or (self.authenticator or "").lower().startswith("oauth")
        required = {
            "ACCOUNT": (self.account, "the account identifier, for example myorg-myaccount"),
            "USER": (has_user, "the user of this service"),
            "WAREHOUSE": (self.warehouse_of(step), f"a virtual warehouse, or {PREFIX}WAREHOUSE_{step.upper()}"),
        }
        return [f"no {PREFIX}{name} ({meaning})" for name, (value, meaning) in required.items() if not value]

    def _contradictions(self) -> list[str]:
        problems = []
        logins = {
            "PRIVATE_KEY_FILE": self.private_key_file,
            "PRIVATE_KEY": self.private_key,
            "PASSWORD": self.password,
            "TOKEN": self.token,
            "TOKEN_FILE": self.token_file,
        }
        logins_set = [PREFIX + name for name, value in logins.items() if value]
        if len(logins_set) > 1:
            problems.append(f"{' and '.join(logins_set)} at once, expected one")
        if not logins_set and not self.authenticator:
            problems.append(
                f"no login (set {PREFIX}PRIVATE_KEY_FILE to a key's file, or {PREFIX}AUTHENTICATOR to "
                "externalbrowser or oauth)"
            )
        if self.private_key_passphrase and not (self.private_key_file or self.private_key):
            problems.append(f"{PREFIX}PRIVATE_KEY_PASSPHRASE without a key (set {PREFIX}PRIVATE_KEY_FILE)")
        if self.private_key_file and not self.private_key_file.is_file():
            problems.append(f"no file at {self.private_key_file} ({PREFIX}PRIVATE_KEY_FILE)")
        if self.token_file and not self.token_file.is_file():
            problems.append(f"no file at {self.token_file} ({PREFIX}TOKEN_FILE)")
        return problems
