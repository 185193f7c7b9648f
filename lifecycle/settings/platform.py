"""Settings of one installation, read from ``LIFECYCLE_*`` environment variables, and the paths of its state."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lifecycle.errors import LifecycleError
from lifecycle.settings.snowflake import SnowflakeSettings

_PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED_MODELS = _PACKAGE / "defs"
"""Folder of the models that come with the package."""
PROJECT_ROOT = _PACKAGE / "_project" if (_PACKAGE / "_project").is_dir() else _PACKAGE.parent
"""Folder of ``dbt_project/``, ``deploy/`` and ``workspace.yaml``: in an installed wheel, or the top of the checkout."""


_NO_NAMES = "%?#*[]'\""
"""Characters that a home must not have: an escape, a query or a fragment of an address, a pattern of files, a quote."""
DEMO_PROFILE = "demo"
INSTALLATION_FILE = "installation.json"
Address = Annotated[str, AfterValidator(lambda address: address.rstrip("/"))]
"""Beginning of an address, that a path follows."""


class InstallationSource(PydanticBaseSettingsSource):
    """Settings that belong to an installation, from the file ``installation.json`` in its folder."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """No single field; `__call__` reads the file."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The stored settings; empty before the first start.

        Raises
        ------
        LifecycleError
            If the file cannot be read.
        """
        path = Path(self.current_state.get("home", ".lifecycle")).expanduser() / INSTALLATION_FILE
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # A home that cannot be read or made is named by what needs it.
            return {}
        except ValueError as error:
            raise LifecycleError(f"Expected the settings of an installation, got {error} - in {path}") from error
        return document


class Settings(BaseSettings):
    """Folder, warehouse and resource limits of one installation.

    All state of the embedded default is below one folder, `home` (``LIFECYCLE_HOME``).
    """

    model_config = SettingsConfigDict(env_prefix="LIFECYCLE_", extra="ignore", frozen=True)

    home: Path = Path(".lifecycle")
    target: Literal["duckdb", "snowflake"] = "duckdb"
    """The warehouse; ``snowflake`` reads `snowflake`'s settings from ``LIFECYCLE_SNOWFLAKE_*``."""
    profile: str | None = None
    """Profile with which every model's `defs.yaml` is read; ``None`` for production.

    The installation stores its profile and target, so that no command needs the variables of the first start again.
    """
    models: Path = SHIPPED_MODELS
    """Folder of the models, one folder with a `defs.yaml` for each; default: the shipped ones."""
    dbt_project_dir: Path = PROJECT_ROOT / "dbt_project"
    duckdb_memory_limit: str = "3GB"
    duckdb_threads: int = 2
    dagster_url: Address = "http://127.0.0.1:3000"
    mlflow_url: Address = "http://127.0.0.1:5000"
    serving_url: Address = "http://127.0.0.1:8000"
    """Addresses of the two UIs, for links, and of the server, whose champion is compared with the release store's."""
    runbook_url: Address = ""
    """Beginning of the runbooks' addresses, where the folder ``docs`` is published, for example
    ``https://git.example/risk/platform/blob/main``; without it they are paths in the project."""
    reports_url: Address | None = None
    """Address at which `reports_dir` is served, for links in Dagster; `lifecycle up` sets it."""
    snowflake: SnowflakeSettings = Field(default_factory=SnowflakeSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then what the installation stores."""
        return init_settings, env_settings, InstallationSource(settings_cls)

    def run_url(self, run_id: str) -> str:
        """Address of a run in the Dagster UI."""
        return f"{self.dagster_url}/runs/{run_id}"

    def runbook_url_of(self, kind: str) -> str:
        """Address of the runbook of a kind of alert."""
        path = f"docs/alerts.md#{kind}"
        return f"{self.runbook_url}/{path}" if self.runbook_url else path

    @property
    def is_demonstration(self) -> bool:
        """Whether the days of this installation are simulated and in the past: no schedule runs."""
        return self.profile == DEMO_PROFILE

    @property
    def root(self) -> Path:
        """`home` as an absolute path.

        Raises
        ------
        LifecycleError
            If the path has a character that one of the libraries takes for more than a name.
        """
        root = self.home.expanduser().resolve()
        refused = sorted(
            {character for character in str(root) if character in _NO_NAMES or not character.isprintable()}
        )
        if refused:
            raise LifecycleError(
                f"Expected a path without control characters and {' '.join(_NO_NAMES)}, which Dagster, dbt, DuckDB and "
                f"MLflow read as an address or a pattern, got {' '.join(map(repr, refused))}; set LIFECYCLE_HOME to "
                f"another folder - at {str(root)!r}"
            )
        return root

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file."""
        return self.root / "warehouse.duckdb"

    @property
    def staged_dir(self) -> Path:
        """Temporary folders of sessions with Snowflake; files with rows on their way into the warehouse."""
        return self.root / "staged"

    @property
    def keys_dir(self) -> Path:
        """Signing key, public key and pseudonym key; files of mode 0600."""
        return self.root / "keys"

    @property
    def training_sets_dir(self) -> Path:
        """Frozen training sets, a folder a digest below each model."""
        return self.root / "training_sets"

    @property
    def candidates_dir(self) -> Path:
        """Candidates, a folder a digest below each model."""
        return self.root / "candidates"

    @property
    def backtests_dir(self) -> Path:
        """Results and candidates of backtests; nothing that releases reads them."""
        return self.root / "backtests"

    @property
    def erasures_dir(self) -> Path:
        """Records of erased customers."""
        return self.root / "erasures"

    @property
    def evidence_dir(self) -> Path:
        """Verdicts of gates and of monitoring, below each model."""
        return self.root / "evidence"

    @property
    def release_store(self) -> Path:
        """Files that the server reads: ``bundles/<digest>/`` and ``releases/<model>/<number>.json``."""
        return self.root / "release_store"

    @property
    def decision_log_dir(self) -> Path:
        """Segments of the server's decision log."""
        return self.root / "decision_log"

    @property
    def reports_dir(self) -> Path:
        """HTML reports for people."""
        return self.root / "reports"

    @property
    def mlflow_dir(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def dagster_home(self) -> Path:
        """Dagster's storage and its `dagster.yaml`."""
        return self.root / "dagster"
