"""Builds the features of a range of days."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.errors import LifecycleError
from lifecycle.features.build_proof import expect_options, expect_untouched, read_contents
from lifecycle.features.dbt import DbtRun, NodeRun, OnNode, busy_seconds, run_dbt
from lifecycle.features.manifest import ensure_project, reuse_parsing
from lifecycle.features.nodes import read_nodes
from lifecycle.features.project import TRANSFORM, dbt_state_dir
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_models
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.out_of_range import expect_in_range
from lifecycle.warehouse.raw_tables import SCHEMA, declarations, raw_definitions


@dataclass(frozen=True)
class FeatureBuild:
    """Result of one build; the days of `occurred_at` are half-open, ``None`` for no bound."""

    start_date: dt.date | None
    end_date: dt.date | None
    rows: int
    """Rows of the models' marts in these days."""
    seconds: float
    """Duration of the dbt run."""
    models: tuple[NodeRun, ...]
    tests: tuple[NodeRun, ...]

    @property
    def model_seconds(self) -> float:
        """Summed execution time of the models."""
        return sum(model.seconds for model in self.models)

    @property
    def test_seconds(self) -> float:
        """Summed execution time of the data tests."""
        return sum(test.seconds for test in self.tests)

    @property
    def overhead_seconds(self) -> float:
        """Duration of dbt's start, parse and bookkeeping."""
        return self.seconds - busy_seconds((*self.models, *self.tests))


def day_bounds(start_date: dt.date | None, end_date: dt.date | None) -> dict[str, str]:
    """Environment variables from which the dbt project reads the days to build; empty for no bound.

    Raises
    ------
    LifecycleError
        If the range is empty.
    """
    if start_date is not None and end_date is not None and start_date >= end_date:
        raise LifecycleError(f"Expected a first day before {end_date}, the day after the last, got {start_date}")
    days = {"LIFECYCLE_START_DATE": start_date, "LIFECYCLE_END_DATE": end_date}
    return {name: date.isoformat() if date is not None else "" for name, date in days.items()}


def build(
    settings: Settings,
    start_date: dt.date | None = None,
    end_date: dt.date | None = None,
    *,
    full_refresh: bool = False,
    on_node: OnNode | None = None,
    use: Use = TRANSFORM,
) -> FeatureBuild:
    """Build and test the features of the days ``[start_date, end_date)`` from what is loaded now.

    Parameters
    ----------
    settings
        The installation.
    start_date, end_date
        Days of `occurred_at`, UTC; ``None`` for no bound. Rows of other days stay as they are.
    full_refresh
        Replace the tables, with every day.
    on_node
        Called after each model and test, as it ends.
    use
        Purpose of the build: its query tag names model, asset and run.

    Raises
    ------
    LifecycleError
        As `run_build`; and if a model or a test fails.
    """
    warehouse = open_warehouse(settings, use)
    with warehouse.exclusive("building features"):
        run = run_build(settings, start_date, end_date, full_refresh=full_refresh, on_node=on_node, use=use)
        run.expect_success("to build the features")
        marts = {f"marts.{spec.mart}": spec.columns.occurred_at for spec in read_models(settings).valid.values()}
        built = {node.relation: marts[node.relation] for node in run.models if node.relation in marts}
        daily = count_daily_rows(warehouse, built, start_date, end_date)
    tests = tuple(node for node in run.nodes if node.kind == "test")
    rows = sum(count for counts in daily.values() for count in counts.values())
    return FeatureBuild(start_date, end_date, rows, run.seconds, run.models, tests)


def run_build(
    settings: Settings,
    start_date: dt.date | None,
    end_date: dt.date | None,
    *,
    full_refresh: bool = False,
    select: Sequence[str] = (),
    on_node: OnNode | None = None,
    use: Use = TRANSFORM,
) -> DbtRun:
    """Run ``dbt build`` on the days ``[start_date, end_date)`` under the warehouse lock, without raising on failures.

    Parameters
    ----------
    settings, start_date, end_date, full_refresh, on_node, use
        As in `build`.
    select
        Selection of models and tests; empty for all. Unit tests are always excluded: they test SQL, not data.

    Raises
    ------
    LifecycleError
        If nothing is loaded, a loaded time is out of range, the range is empty, or given with `full_refresh`; or if dbt
        touched more than it was asked to build. In Snowflake, where other machines may build other days meanwhile,
        only dbt's options are checked.
    """
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    days = day_bounds(start_date, end_date)
    if full_refresh and any(days.values()):
        raise LifecycleError(
            "Expected --full without a range of days, because it replaces the tables with all their days, got "
            f"[{start_date or 'first'}, {end_date or 'last'}); leave out --full, or --start and --end"
        )
    if full_refresh:
        arguments.append("--full-refresh")
    if select:
        arguments += ["--select", *select]
    warehouse = open_warehouse(settings, use)
    _expect_raw_tables(warehouse, may_create=settings.target == "duckdb")
    with warehouse.exclusive("building features"):
        _expect_rows(warehouse)
        expect_in_range(warehouse)
        target_path = dbt_state_dir(settings) / "builds"
        project = ensure_project(settings)
        reuse_parsing(settings, target_path)
        is_partial = settings.target == "duckdb" and (any(days.values()) or bool(select))
        day_columns = read_nodes(project.manifest).day_columns
        before = read_contents(warehouse, day_columns) if is_partial else None
        run = run_dbt(
            settings,
            arguments,
            target_path=target_path,
            variables=days,
            on_node=on_node,
            use=use,
            project=project.folder,
        )
        expect_options(target_path, is_full=full_refresh, select=select)
        if before is not None:
            expect_untouched(before, read_contents(warehouse, day_columns), run.models, start_date, end_date)
        return run


def _expect_raw_tables(warehouse: Warehouse, *, may_create: bool) -> None:
    """Create the raw tables that an update has added; in Snowflake only the loading role may.

    Raises
    ------
    LifecycleError
        If one is missing and may not be created.
    """
    if may_create:
        warehouse.ensure(raw_definitions(warehouse.dialect))
        return
    names = warehouse.query(
        "select lower(table_name) as name from information_schema.tables where table_schema = ?", [SCHEMA.upper()]
    )
    expected = {relation.name for relation in declarations().tables.values() if relation.schema == SCHEMA}
    missing = sorted(expected - set(names.column("name").to_pylist()))
    if missing:
        raise LifecycleError(
            f"Expected the raw tables of this version, missing {', '.join(missing)} - in schema {SCHEMA}; "
            "run `lifecycle warehouse status`, which creates them"
        )


def _expect_rows(warehouse: Warehouse) -> None:
    """Check that some table of events has rows; another model's may be empty."""
    tables = [table for table in declarations().tables.values() if table.event_at and not table.refers_to]
    events = [table for table in tables if table.schema == SCHEMA]
    if any(warehouse.query(f"select 1 as one from {table.table} limit 1").num_rows for table in events):  # noqa: S608
        return
    names = ", ".join(table.table for table in events)
    raise LifecycleError(
        f"Expected events to build features from, got only empty tables - {names}; "
        f"run `lifecycle warehouse load {events[0].name if events else 'NAME'} FILE`"
    )


def count_daily_rows(
    warehouse: Warehouse, days_of: Mapping[str, str], start_date: dt.date | None, end_date: dt.date | None
) -> dict[str, dict[dt.date, int]]:
    """Number of rows of each relation by day in ``[start_date, end_date)``; without empty days.

    Parameters
    ----------
    days_of
        By relation, the column whose day counts.
    """
    if not days_of:
        return {}
    start = start_date or dt.date(1, 1, 1)
    end = end_date or dt.date(9999, 12, 31)
    counts = " union all ".join(
        f"select '{relation}' as relation, cast({column} as date) as day, count(*) as row_count "  # noqa: S608 - names of ours
        f"from {relation} where {column} >= date '{start}' and {column} < date '{end}' "
        f"group by cast({column} as date)"
        for relation, column in days_of.items()
    )
    daily: dict[str, dict[dt.date, int]] = {relation: {} for relation in days_of}
    for row in warehouse.query(counts).to_pylist():
        daily[row["relation"]][row["day"]] = int(row["row_count"])
    return daily
