"""Settings of a Snowflake account, read from ``LIFECYCLE_SNOWFLAKE_*`` environment variables."""

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from lifecycle.errors import LifecycleError

Step = Literal["load", "transform", "train", "log", "fairness", "read"]
"""What a connection is for: loading raw rows, dbt, training sets, the decision log, protected attributes, all else."""
STEPS: tuple[Step, ...] = get_args(Step)

PREFIX = "LIFECYCLE_SNOWFLAKE_"


class SnowflakeSettings(BaseSettings):
    """Account, login, and which role and virtual warehouse each step uses.

    Secrets are `SecretStr`: they show as asterisks wherever the settings are printed.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    account: str | None = None
    user: str | None = None
    database: str = "LIFECYCLE"

    authenticator: str | None = None
    """The connector's word, for example ``externalbrowser``, ``oauth``; none for a key."""
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
    """Role of every step that has none of its own; the user's default role if not given."""
    role_load: str | None = None
    role_transform: str | None = None
    role_train: str | None = None
    role_log: str | None = None
    role_fairness: str | None = None
    role_read: str | None = None

    warehouse: str | None = None
    """Virtual warehouse of every step that has none of its own; its size is the step's size."""
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
    """How long the connector goes on trying one request over a network that fails."""
    attempts: int = Field(default=3, ge=1)
    """How often an operation that may be repeated is tried in all."""

    host: str | None = None
    """Host, port and protocol of another endpoint than the account's own, for example a local one."""
    port: int | None = None
    protocol: Literal["https", "http"] = "https"

    @property
    def private_key_text(self) -> str | None:
        """`private_key` in plain; an environment often has its line ends written out."""
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
        """Refuse settings that cannot connect.

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
        # Logins by OAuth name the user in their token.
        user_named = self.user or (self.authenticator or "").lower().startswith("oauth")
        required = {
            "ACCOUNT": (self.account, "the account identifier, for example myorg-myaccount"),
            "USER": (user_named, "the user of this service"),
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
        given = [PREFIX + name for name, value in logins.items() if value]
        if len(given) > 1:
            problems.append(f"{' and '.join(given)} at once, of which one is wanted")
        if not given and not self.authenticator:
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
