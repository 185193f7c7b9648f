"""`lifecycle simulate`: make up card transactions."""

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lifecycle.local.simulator import SimulationConfig, SimulationSummary

app = typer.Typer(help="Make up card transactions, fraud reports, customers and terminals as Parquet files.")


@app.callback(invoke_without_command=True)
def simulate_command(
    out: Annotated[Path, typer.Option(help="Folder to write to; a folder below it for each raw relation.")],
    start: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the simulated world.")],
    days: Annotated[int, typer.Option(help="How many days there are.")],
    customers: Annotated[int, typer.Option(help="About two transactions a day each.")] = 5000,
    terminals: Annotated[int, typer.Option(help="Where they pay.")] = 10000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 20180401,
    fraud_scale: Annotated[float, typer.Option(help="Multiplies the frauds; 1 gives somewhat under 1 %.")] = 1.0,
    report_delay_mean: Annotated[float, typer.Option(help="Mean days from a fraud to its prompt report.")] = 3.0,
    late_report_share: Annotated[float, typer.Option(help="Share of the reports that come after 7 to 30 days.")] = 0.05,
    pattern_change_day: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="From here on another fraud pattern, and a card-testing burst."),
    ] = None,
    testing_share: Annotated[float, typer.Option(help="Size of that burst, over the ordinary transactions.")] = 0.18,
    first_day: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day to write, if not all are wanted.")
    ] = None,
    last_day: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day to write, if not all are wanted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Write simulated days; `lifecycle warehouse load RELATION OUT/RELATION` loads them."""
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
        pattern_change_date=pattern_change_day.date() if pattern_change_day else None,
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


def _simulate(
    config: "SimulationConfig", out: Path, first_day: dt.datetime | None, last_day: dt.datetime | None
) -> "SimulationSummary":
    """Write the days under a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lifecycle.local.simulator import simulate

    columns = (TextColumn("simulating days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=None)
        return simulate(
            config,
            out,
            first_day.date() if first_day else None,
            last_day.date() if last_day else None,
            lambda done, total: bars.update(bar, completed=done, total=total),
        )
