"""The steps of a migration in order: reading what is due, and doing it."""

from collections.abc import Callable

from lifecycle.errors import LifecycleError
from lifecycle.local.migration.feature_tables import FeatureTables
from lifecycle.local.migration.first_day import FirstDays
from lifecycle.local.migration.raw_tables import RawTables
from lifecycle.local.migration.step import Finding, Step
from lifecycle.local.up_record import UpRecord
from lifecycle.settings.platform import INSTALLATION_FILE, Settings
from lifecycle.signing.keys import ensure_keys
from lifecycle.warehouse.duckdb.lock import lock_of
from serving.storage.crash_points import crash_point

STEPS: tuple[Step, ...] = (RawTables(), FirstDays(), FeatureTables())
"""A step may rely on those before it: a build reads every raw table."""


def read_plan(settings: Settings) -> list[Finding]:
    """What is due, in order; writes nothing.

    Raises
    ------
    LifecycleError
        If there is no home, or it cannot be read.
    """
    _expect_home(settings)
    if not _has_warehouse(settings):
        return []
    return [finding for step in STEPS if (finding := step.find(settings)) is not None]


def migrate(settings: Settings, on_step: Callable[[Finding], None]) -> list[Finding]:
    """Do what is due, each step after `on_step` was called with its finding; returns what was done.

    It is recorded as a running process of the home meanwhile, so that `lifecycle up` does not start.

    Raises
    ------
    LifecycleError
        If processes of the home run, or a step fails; the same command then continues.
    """
    _expect_home(settings)
    record = UpRecord(settings.root)
    record.begin()
    done: list[Finding] = []
    try:
        _ = ensure_keys(settings).model_key  # an earlier version had none
        if not _has_warehouse(settings):
            return done
        for step in STEPS:
            if (finding := step.find(settings)) is not None:
                on_step(finding)
                step.run(settings)
                crash_point("migration.step_ended")
                done.append(finding)
    finally:
        record.end()
    return done


def migration_notice(settings: Settings) -> str | None:
    """One line for `lifecycle status` and `lifecycle up` if a migration is due; ``None`` if nothing is.

    Does not wait for a warehouse that another process uses: the line then says that nothing was read.
    """
    if not (settings.root / INSTALLATION_FILE).exists() or not _has_warehouse(settings):
        return None
    if settings.target == "duckdb" and lock_of(settings.warehouse_path).is_held_elsewhere():
        return "Not read whether a migration is due: another process uses the warehouse"
    try:
        due = read_plan(settings)
    except LifecycleError as error:
        return f"Not read whether a migration is due: {error}"
    if not due:
        return None
    steps = ", ".join(finding.step for finding in due)
    return f"An earlier version wrote this home ({steps}): run `lifecycle migrate --dry-run`, then `lifecycle migrate`"


def _expect_home(settings: Settings) -> None:
    if not (settings.root / INSTALLATION_FILE).exists():
        raise LifecycleError(
            f"Expected a home, found no {INSTALLATION_FILE}; run `lifecycle init` or set LIFECYCLE_HOME "
            f"- at {settings.root}"
        )


def _has_warehouse(settings: Settings) -> bool:
    """Whether there is a warehouse to read: opening a missing file would create it."""
    return settings.target != "duckdb" or settings.warehouse_path.exists()
