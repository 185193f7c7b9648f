"""`lifecycle features`: build features with dbt and export them."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from lifecycle.features import FeatureBuild
    from lifecycle.features.freshness import SourceFreshness

app = typer.Typer(
    help="Build features with dbt, export them, check their sources and document them.", no_args_is_help=True
)

DAY_FORMATS = ["%Y-%m-%d"]


@app.command("build")
def build_command(
    start: Annotated[
        dt.datetime | None,
        typer.Option(formats=DAY_FORMATS, help="First day (UTC) to build. Default: the first loaded day."),
    ] = None,
    end: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=DAY_FORMATS, help="Day (UTC) after the last one to build. Default: up to the last loaded day."
        ),
    ] = None,
    is_full: Annotated[
        bool, typer.Option("--full", help="Rebuild the tables, for example after a model's columns changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build and test the features of a range of days. Other days stay unchanged."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lifecycle.features import build
    from lifecycle.settings.platform import Settings

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("starting dbt", total=None)
        built = build(
            Settings(),
            start.date() if start else None,
            end.date() if end else None,
            full_refresh=is_full,
            on_node=lambda node: bars.update(
                bar, description=f"{node.kind} {node.name}", completed=node.index, total=node.total
            ),
        )
    if as_json:
        typer.echo(json.dumps(_document(built)))
    else:
        _print_build(built, console)


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Argument(help="Parquet file to write; an existing file is replaced.")],
    model: Annotated[
        str | None, typer.Option(help="Model whose features are exported. Default: the only model.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of the mart, separated by commas. Default: the model's features in schema order."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export the id of each example and a model's features to a Parquet file, ordered by that id."""
    from lifecycle.features import export
    from lifecycle.settings.platform import Settings

    names = [name.strip() for name in columns.split(",")] if columns else None
    exported = export(Settings(), out, model=model, columns=names)
    if as_json:
        document = {"path": str(exported.path), "rows": exported.rows, "columns": list(exported.columns)}
        typer.echo(json.dumps(document))
    else:
        Console(stderr=True).print(f"{exported.rows:,} rows, {len(exported.columns)} columns: {exported.path}")


@app.command("freshness")
def freshness_command(
    as_json: AsJson = False,
) -> None:
    """Show when the raw tables were last loaded. Exits with 1 if a load is older than its limit."""
    from lifecycle.features.freshness import read_freshness
    from lifecycle.settings.platform import Settings

    sources = read_freshness(Settings())
    if as_json:
        typer.echo(json.dumps([source.as_document() for source in sources]))
    else:
        _print_freshness(sources)
    if any(source.status == "error" for source in sources):
        raise typer.Exit(1)


@app.command("docs")
def docs_command(
    as_json: AsJson = False,
) -> None:
    """Write dbt's documentation and its graph to one HTML file, and print the file's path."""
    from lifecycle.features.docs import write_docs
    from lifecycle.settings.platform import Settings

    path = write_docs(Settings())
    typer.echo(json.dumps({"path": str(path)}) if as_json else path)


def _document(built: "FeatureBuild") -> dict[str, object]:
    return {
        "start_date": built.start_date.isoformat() if built.start_date else None,
        "end_date": built.end_date.isoformat() if built.end_date else None,
        "rows": built.rows,
        "seconds": built.seconds,
        "model_seconds": built.model_seconds,
        "test_seconds": built.test_seconds,
        "overhead_seconds": built.overhead_seconds,
        "models": {model.name: model.seconds for model in built.models},
        "tests": len(built.tests),
    }


def _print_build(built: "FeatureBuild", console: Console) -> None:
    from rich.table import Table

    table = Table("model", "seconds")
    table.columns[1].justify = "right"
    for model in built.models:
        table.add_row(model.name, f"{model.seconds:.2f}")
    console.print(table)
    console.print(
        f"{built.rows:,} rows of features; models {built.model_seconds:.1f} s, {len(built.tests)} tests "
        f"{built.test_seconds:.1f} s, dbt itself {built.overhead_seconds:.1f} s"
    )


def _print_freshness(sources: "Sequence[SourceFreshness]") -> None:
    from rich.table import Column, Table

    headings = ("table", "status", "last load (UTC)", "hours ago", "limits")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings))
    table.columns[3].justify = "right"
    for source in sources:
        loaded_at = source.loaded_at.strftime("%Y-%m-%d %H:%M") if source.loaded_at else "never"
        age = "-" if source.age_hours is None else f"{source.age_hours:,.1f}"
        limits = " / ".join(
            "-" if hours is None else f"{hours:g}" for hours in (source.warn_after_hours, source.error_after_hours)
        )
        table.add_row(source.relation, source.status, loaded_at, age, limits)
    output().print(table)
