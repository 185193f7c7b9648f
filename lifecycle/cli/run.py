"""`lifecycle init`, `up` and `demo`: the processes of one installation."""

import json
import os
import signal
from enum import StrEnum
from typing import Annotated

import typer

from lifecycle.cli.options import AsJson

DagsterPort = Annotated[int, typer.Option(help="Loopback port of the Dagster UI.")]
MlflowPort = Annotated[int, typer.Option(help="Loopback port of the MLflow UI.")]
ServingPort = Annotated[int, typer.Option(help="Loopback port of the inference server.")]
ReportsPort = Annotated[int, typer.Option(help="Loopback port of the reports.")]


SNOWFLAKE_DEMO_HOME = ".lifecycle-snowflake"
"""Folder of the demonstration on Snowflake, separate from that on DuckDB."""
DEMO_MODEL = "card_fraud"
DEMO_SEED = 20180401


class Target(StrEnum):
    """Warehouses that the demonstration runs on."""

    DUCKDB = "duckdb"
    SNOWFLAKE = "snowflake"


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    app.command("init")(init_command)
    app.command("up")(up_command)
    app.command("reports")(reports_command)
    app.command("down")(down_command)
    app.command("status")(status_command)
    app.command("demo")(demo_command)


def init_command(*, as_json: AsJson = False) -> None:
    """Prepare LIFECYCLE_HOME: keys, stores, Dagster's and MLflow's storage. Idempotent."""
    from lifecycle.local.installation import prepare
    from lifecycle.settings.platform import Settings

    settings = Settings()
    prepare(settings)
    typer.echo(json.dumps({"home": str(settings.root)}) if as_json else f"Ready: {settings.root}. Next: lifecycle up")


def up_command(
    dagster_port: DagsterPort = 3000,
    mlflow_port: MlflowPort = 5000,
    serving_port: ServingPort = 8000,
    reports_port: ReportsPort = 3001,
    *,
    as_json: AsJson = False,
) -> None:
    """Start the Dagster UI with its daemon, the MLflow UI, the server and the reports, until Ctrl-C."""
    from lifecycle.local.installation import addresses, start_services
    from lifecycle.local.migration import migration_notice
    from lifecycle.local.partition_follower import PartitionFollower
    from lifecycle.local.processes import Ports
    from lifecycle.settings.platform import Settings

    if notice := migration_notice(Settings()):
        typer.echo(notice, err=True)
    ports = Ports(dagster_port, mlflow_port, serving_port, reports_port)
    with start_services(Settings(), ports) as group:
        urls = addresses(ports)
        if as_json:
            typer.echo(json.dumps(urls))
        else:
            for name, url in urls.items():
                typer.echo(f"{name:<18}{url}")
            _say_schedules(urls["Dagster UI"])
            typer.echo("Ctrl-C or `lifecycle down` stops everything.")
        group.watch(PartitionFollower(Settings().root, urls["Dagster UI"]))


def down_command(*, as_json: AsJson = False) -> None:
    """Stop what `lifecycle up` or `lifecycle demo` started in LIFECYCLE_HOME, also after its terminal was closed."""
    from lifecycle.local.processes import KILL_TIMEOUT_SECONDS, STOP_TIMEOUT_SECONDS
    from lifecycle.local.up_record import stop_recorded
    from lifecycle.settings.platform import Settings

    root = Settings().root
    stopped = stop_recorded(root, STOP_TIMEOUT_SECONDS, KILL_TIMEOUT_SECONDS)
    if as_json:
        typer.echo(json.dumps({"stopped": stopped}))
        return
    for line in stopped:
        typer.echo(f"Stopped {line}")
    if not stopped:
        typer.echo(f"Nothing of {root} is running.")


def _say_schedules(url: str) -> None:
    """Print the schedules; the processes go on if Dagster's definitions do not load."""
    from lifecycle.errors import LifecycleError
    from lifecycle.local.dagster_api import DagsterApi
    from lifecycle.local.schedule_status import schedule_lines

    try:
        DagsterApi(url).wait_until_loaded()
        for line in schedule_lines(url):
            typer.echo(line)
    except LifecycleError as error:
        typer.echo(str(error), err=True)


def status_command(*, as_json: AsJson = False) -> None:
    """Show faulty models, a due migration, what stops promotion, and whether the schedules and sensors run.

    Schedules and sensors are shown with their evaluations. Asks the Dagster UI at LIFECYCLE_DAGSTER_URL, by default on
    port 3000.
    """
    from lifecycle.cli.release import open_store
    from lifecycle.cli.release_tables import switches_document, switches_lines
    from lifecycle.features.usable_models import known_models
    from lifecycle.local.migration import migration_notice
    from lifecycle.local.schedule_status import read_schedules, schedule_lines
    from lifecycle.settings.platform import Settings

    store, url = open_store(), Settings().dagster_url
    faulty = {model.name: model.message for model in known_models(Settings()).faulty}
    migration = migration_notice(Settings())
    if as_json:
        schedules = [schedule._asdict() for schedule in read_schedules(url)]
        promotion = switches_document(store)
        document = {"faulty_models": faulty, "migration": migration, "promotion": promotion, "schedules": schedules}
        typer.echo(json.dumps(document))
        return
    if migration:
        typer.echo(migration)
    for name, message in faulty.items():
        typer.echo(f"Model left out: {name}. {message}")
    for line in switches_lines(store):
        typer.echo(line)
    for line in schedule_lines(url):
        typer.echo(line)


def reports_command(port: ReportsPort = 3001, *, as_json: AsJson = False) -> None:
    """Serve the HTML reports and /metrics on the loopback interface until Ctrl-C; `lifecycle up` does so, too."""
    import contextlib

    from lifecycle.local.report_server import serve
    from lifecycle.settings.platform import Settings

    url = f"http://127.0.0.1:{port}"
    typer.echo(json.dumps({"Reports": url}) if as_json else f"Reports: {url}. Ctrl-C stops them.")
    # A parent may have left SIGTERM ignored, which its children inherit.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        serve(Settings(), port)


def demo_command(
    target: Annotated[
        Target,
        typer.Option(help="Warehouse. For snowflake a local endpoint is started unless the settings name an account."),
    ] = Target.DUCKDB,
    exit_after: Annotated[
        bool, typer.Option("--exit", help="Exit after the last step instead of serving until Ctrl-C.")
    ] = False,
    is_first_decision_enough: Annotated[
        bool, typer.Option("--first-decision", help="Exit after the first release has scored one request.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulation; read at the first start only.")] = DEMO_SEED,
    dagster_port: DagsterPort = 3000,
    mlflow_port: MlflowPort = 5000,
    serving_port: ServingPort = 8000,
    reports_port: ReportsPort = 3001,
    *,
    as_json: AsJson = False,
) -> None:
    """Run the whole loop on simulated card transactions. A second start resumes where the first one ended.

    Simulates history, builds features with dbt, trains, validates, registers and releases a model as Dagster runs,
    replays the following days as live requests, changes the fraud pattern, and waits until the platform has detected
    the drift, retrained and released by itself.
    """
    # Set before the settings are read, and inherited by every child process: the profile shortens the model's windows.
    os.environ["LIFECYCLE_PROFILE"] = "demo"
    os.environ["LIFECYCLE_TARGET"] = target.value
    if target is Target.SNOWFLAKE:
        os.environ.setdefault("LIFECYCLE_HOME", SNOWFLAKE_DEMO_HOME)
    from lifecycle.local.demo.run import run_demo
    from lifecycle.local.processes import Ports

    ports = Ports(dagster_port, mlflow_port, serving_port, reports_port)
    if not run_demo(
        ports,
        DEMO_MODEL,
        seed,
        is_left_running=not exit_after,
        is_first_decision_enough=is_first_decision_enough,
        as_json=as_json,
    ):
        raise typer.Exit(1)
