"""`lifecycle backtest`: a model's procedure on many dates; nothing is registered, released or alerted."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson, Model
from lifecycle.console import output
from lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from lifecycle.artefacts.backtests import Backtest, Row
    from lifecycle.spec.risk_model import RiskModelSpec

Date = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("backtest")(backtest)


def backtest(
    model: Model,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First `as_of`.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last `as_of`, included.")],
    every: Annotated[str, typer.Option(help="Days between two dates, or `day` or `week`.")] = "week",
    against: Annotated[
        Path | None,
        typer.Option(help="Another model's file: its recipe is trained on the same training sets and compared."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Dates side by side. Default: the number of cores.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the table and the plot as one page to this file.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Train and judge a model at each date, compared with the champion of that date, and show all dates.

    Registers, releases and alerts nothing. A killed backtest goes on with the missing dates when the same command is
    run again; another model file, dbt project or training set starts over.
    """
    from lifecycle.assets.resources import Stores
    from lifecycle.cli.backtest_table import json_text, print_backtest, print_row
    from lifecycle.local.backtest.plan import Asked, dates_between
    from lifecycle.local.backtest.run import run_backtest
    from lifecycle.reports.backtest_report import backtest_page
    from lifecycle.spec.model_files import read_model
    from serving.storage.durable import write_file

    stores = Stores()
    profile = stores.settings.profile
    spec = read_model(model, profile)
    dates = dates_between(first.date(), last.date(), every)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = Asked(spec, _other(spec, against, profile), dates, min(jobs or cores, len(dates)))

    def tell(row: "Row") -> None:
        if not as_json:
            print_row(asked, row)

    found = run_backtest(stores, asked, tell)
    if html is not None:
        write_file(html, backtest_page(found).encode())
    _show_in_dagster(found, html)
    if as_json:
        typer.echo(json_text(found))
    else:
        print_backtest(found, output())


def _other(spec: "RiskModelSpec", file: Path | None, profile: str | None) -> "RiskModelSpec | None":
    """The other recipe, whose holdouts are the same."""
    from lifecycle.local.backtest.plan import expect_comparable
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.dbt_projects import dbt_projects
    from lifecycle.spec.mart_contract import check_columns
    from lifecycle.spec.model_files import read_spec

    if file is None:
        return None
    other = read_spec(file, profile)
    check_columns(other, dbt_projects(Settings()), str(file))
    expect_comparable(spec, other)
    own_file = Settings().models / other.name / file.name
    if other.training.estimator.external is not None and file.resolve() != own_file.resolve():
        raise LifecycleError(
            f"Expected the file of an external model to be a model of this installation, {own_file}, got {file}: its "
            "trees are found by the model's name"
        )
    return other


def _show_in_dagster(found: "Backtest", html: Path | None) -> None:
    """Show the table and the plot on the asset; a fault of Dagster's storage is a warning, the results are kept."""
    import dagster as dg

    from lifecycle.assets.backtest import report_backtest
    from lifecycle.assets.mirror import first_line
    from lifecycle.settings.platform import Settings

    home = Settings().dagster_home
    if not (home / "dagster.yaml").exists():
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            report_backtest(instance, found, html.resolve() if html else None)
    except Exception as error:
        typer.echo(f"Warning: Dagster does not show this backtest: {first_line(error)}", err=True)
