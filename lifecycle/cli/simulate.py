"""`lifecycle simulate`: generate card transactions; `lifecycle simulate-credit`: a credit portfolio."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson

if TYPE_CHECKING:
    from lifecycle.local.simulator import SimulationConfig, SimulationSummary

app = typer.Typer(help="Generate card transactions, fraud reports, customers and terminals as Parquet files.")


@app.callback(invoke_without_command=True)
def simulate_command(
    out: Annotated[Path, typer.Option(help="Output folder; each raw relation gets a subfolder.")],
    start: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the simulated world.")],
    days: Annotated[int, typer.Option(help="Number of days in the simulated world.")],
    customers: Annotated[int, typer.Option(help="Number of customers, with about two transactions a day each.")] = 5000,
    terminals: Annotated[int, typer.Option(help="Number of terminals.")] = 10000,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same rows.")] = 20180401,
    fraud_scale: Annotated[
        float, typer.Option(help="Factor on the number of frauds; 1 gives slightly under 1 % of the transactions.")
    ] = 1.0,
    report_delay_mean: Annotated[float, typer.Option(help="Mean days from a fraud to its prompt report.")] = 3.0,
    late_report_share: Annotated[
        float, typer.Option(help="Share of the reports that arrive 7 to 30 days after the fraud.")
    ] = 0.05,
    pattern_change_day: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Day from which the fraud pattern changes and cards are tested in a burst. Default: never.",
        ),
    ] = None,
    pattern_return_day: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Day from which the former pattern applies again. Default: never."),
    ] = None,
    testing_share: Annotated[
        float, typer.Option(help="Size of that burst as a share of the ordinary transactions.")
    ] = 0.18,
    first_day: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day to write. Default: the first simulated day."),
    ] = None,
    last_day: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Last day to write. Default: the last simulated day."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write simulated days as Parquet. Load them with `lifecycle warehouse load RELATION OUT/RELATION`."""
    from lifecycle.local.simulator import SimulationConfig

    config = SimulationConfig(
        customers=customers,
        terminals=terminals,
        start_date=start.date(),
        days=days,
        seed=seed,
        fraud_scale=fraud_scale,
        report_delay_mean_days=report_delay_mean,
        late_report_share=late_report_share,
        pattern_change_date=_date(pattern_change_day),
        pattern_return_date=_date(pattern_return_day),
        testing_share=testing_share,
    )
    summary = _simulate(config, out, first_day, last_day)
    if as_json:
        typer.echo(json.dumps(summary.as_document()))
        return
    typer.echo(
        f"{summary.card_transactions:,} transactions from {summary.first_date} to {summary.last_date}, "
        f"{summary.fraud_share:.2%} fraud, {summary.fraud_reports:,} reports on these days - in {summary.out}"
    )


def register(app: typer.Typer) -> None:
    """Add the command of the credit portfolio to the root."""
    app.command("simulate-credit")(simulate_credit_command)


def simulate_credit_command(
    out: Annotated[Path, typer.Option(help="Output folder; each raw table gets a subfolder.")],
    start: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="First day to write.")],
    days: Annotated[int, typer.Option(help="Number of days to write.")],
    clients: Annotated[int, typer.Option(help="Number of clients, each observed once a month.")] = 6000,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same rows.")] = 20180401,
    downturn_day: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Month of this day from which a recession lasts. Default: never."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a simulated credit portfolio as Parquet. Load it with `lifecycle warehouse load TABLE OUT/TABLE`.

    The tables are credit_clients (what is known about a client each month), credit_outcomes (whether a default
    followed, and when that became known) and credit_protected (attributes that may never be an input).
    """
    from lifecycle.local.simulator.credit import CreditConfig, simulate_credit

    config = CreditConfig(
        start_date=start.date(),
        days=days,
        clients=clients,
        seed=seed,
        downturn_date=_date(downturn_day),
    )
    with _progress() as update:
        summary = simulate_credit(config, out, update)
    if as_json:
        typer.echo(json.dumps(summary.as_document()))
        return
    typer.echo(
        f"{summary.observations:,} observations from {summary.first_date} to {summary.last_date}, "
        f"{summary.defaults / max(summary.observations, 1):.2%} with a default, {summary.outcomes:,} outcomes known - "
        f"in {summary.out}"
    )


def _date(moment: dt.datetime | None) -> dt.date | None:
    return moment.date() if moment else None


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar of days on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("simulating days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _simulate(
    config: "SimulationConfig", out: Path, first_day: dt.datetime | None, last_day: dt.datetime | None
) -> "SimulationSummary":
    """Write the days under a progress bar."""
    from lifecycle.local.simulator import simulate

    with _progress() as update:
        return simulate(config, out, _date(first_day), _date(last_day), update)
