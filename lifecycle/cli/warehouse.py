"""`lifecycle warehouse`: load raw tables, show their contents, check the warehouse."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from lifecycle.warehouse.loading.load import LoadResult
    from lifecycle.warehouse.reading.status import WarehouseStatus

app = typer.Typer(
    help="Load raw tables, show what the warehouse holds, and check that it is ready.", no_args_is_help=True
)


@app.command("load")
def load_command(
    relation: Annotated[
        str, typer.Argument(metavar="NAME", help="Declared raw table to load into; `warehouse status` lists them.")
    ],
    path: Annotated[Path, typer.Argument(help="Parquet or CSV file, or a folder of them.")],
    mapping: Annotated[
        Path | None,
        typer.Option(help="YAML file that maps the file's columns. Default: recognise columns by their names."),
    ] = None,
    reject_to: Annotated[
        Path | None, typer.Option(help="New CSV file for rows that violate a rule; with --max-rejects.")
    ] = None,
    max_rejects: Annotated[
        int, typer.Option(min=0, help="Rows that may be left out; with more, nothing is loaded.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Load a file into a raw table. Rows are validated; the load is atomic and idempotent."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from lifecycle.settings.platform import Settings
    from lifecycle.warehouse import Use, open_warehouse
    from lifecycle.warehouse.loading.erased import key_hash_of
    from lifecycle.warehouse.loading.load import load
    from lifecycle.warehouse.reading.first_day import note_first_day

    # On stderr: with --json, stdout holds the document and nothing else.
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
    ) as bars:
        bar = bars.add_task("opening", total=None)
        settings = Settings()
        warehouse = open_warehouse(settings, Use("load"))
        result = load(
            warehouse,
            relation,
            path,
            mapping,
            lambda step, done, total: bars.update(bar, description=step, completed=done, total=total),
            reject_to=reject_to,
            max_rejects=max_rejects,
            key_hash=key_hash_of(settings),
        )
        note_first_day(warehouse, settings.root)
    if as_json:
        typer.echo(json.dumps(result.as_document()))
    else:
        _print_load(result)


@app.command("copy-from")
def copy_command(
    file: Annotated[Path, typer.Argument(help="DuckDB file of another installation: its `warehouse.duckdb`.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy all raw rows of a DuckDB file into this empty warehouse, for a move to Snowflake.

    Corrections, the manifest of loads and the tombstones of erased persons come along. It is one transaction: after an
    interruption run the same command again. Then build the features.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from lifecycle.settings.platform import Settings
    from lifecycle.warehouse import open_warehouse
    from lifecycle.warehouse.copying import copy_raw, has_tombstones
    from lifecycle.warehouse.reading.first_day import note_first_day

    settings = Settings()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        bar = bars.add_task("opening", total=None)
        copied = copy_raw(
            settings,
            file,
            lambda table, done, total: bars.update(bar, description=table, completed=done, total=total),
        )
    note_first_day(open_warehouse(settings), settings.root)
    if as_json:
        typer.echo(json.dumps(copied))
        return
    for table, rows in copied.items():
        typer.echo(f"{table}: {rows:,} rows")
    if has_tombstones(copied) and file.resolve().parent != settings.root:
        typer.echo(
            "Persons were erased there. Their tombstones need that installation's key: copy keys/pseudonym_key* into "
            f"{settings.keys_dir} before the next load."
        )
    typer.echo("Next: lifecycle features build --full")


@app.command("status")
def status_command(
    as_json: AsJson = False,
) -> None:
    """Show rows, first and last day and loads of the raw tables, and the size of the warehouse's file."""
    from lifecycle.settings.platform import Settings
    from lifecycle.warehouse import Use, open_warehouse
    from lifecycle.warehouse.reading.status import read_status

    # The loading role can read all raw relations, including protected attributes.
    status = read_status(open_warehouse(Settings(), Use("load")))
    if as_json:
        typer.echo(json.dumps(status.as_document()))
    else:
        _print_status(status)


@app.command("remove-out-of-range")
def remove_out_of_range_command(
    *,
    is_confirmed: Annotated[
        bool, typer.Option("--yes", help="Remove the rows; without it they are only counted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show, and with --yes remove, raw rows whose times no load accepts any more, such as those of the year 9999."""
    from lifecycle.settings.child_environment import user_name
    from lifecycle.settings.platform import Settings
    from lifecycle.warehouse.out_of_range import count_out_of_range, remove_out_of_range

    settings = Settings()
    found = remove_out_of_range(settings, by=user_name()) if is_confirmed else count_out_of_range(settings)
    if as_json:
        typer.echo(json.dumps(found.as_document()))
        return
    typer.echo(f"Times are accepted from {found.earliest:%Y-%m-%d} to {found.latest:%Y-%m-%d %H:%M} UTC.")
    for table, rows in found.rows.items():
        typer.echo(f"  {rows:,} rows of {table} are outside, or belong to an event that is")
    if not found.rows:
        typer.echo("No row is outside.")
    elif found.is_removed:
        typer.echo("They were removed; raw.removed_rows has their numbers. Build the features again.")
    else:
        typer.echo("Nothing was removed. Repeat with --yes to remove them.")


@app.command("check")
def check_command(
    as_json: AsJson = False,
) -> None:
    """Check that the warehouse is ready: the DuckDB file, or every role's grants in Snowflake. Exits with 1 if not."""
    from lifecycle.cli.snowflake import print_account, print_file
    from lifecycle.settings.platform import Settings

    settings = Settings()
    if settings.target == "duckdb":
        from lifecycle.warehouse.file_check import check_file

        file = check_file(settings)
        typer.echo(json.dumps(file.as_document())) if as_json else print_file(file)
        return
    from lifecycle.warehouse.snowflake.access.account_check import check

    report = check(settings)
    typer.echo(json.dumps(report.as_document())) if as_json else print_account(report)
    if not report.is_ready:
        raise typer.Exit(1)


def _print_load(result: "LoadResult") -> None:
    from rich.markup import escape

    console = output()
    console.print(
        f"[bold]{result.relation}[/] from {escape(result.source)} (mapping {escape(result.mapping)}): "
        f"{result.rows_read:,} rows read, [bold]{result.rows_inserted:,}[/] inserted, "
        f"{result.rows_known:,} known already",
        soft_wrap=True,
    )
    if result.rows_corrected:
        console.print(f"{result.rows_corrected:,} later versions of known rows added; the first versions stay")
    if result.rows_rejected:
        console.print(f"[bold red]{result.rows_rejected:,} rejected[/] and left out", soft_wrap=True)
    if result.rows_erased:
        console.print(f"{result.rows_erased:,} rows of erased persons left out")
    for derived in result.derived:
        console.print(
            f"[bold]{derived.relation}[/] derived from it: {derived.rows_inserted:,} inserted, "
            f"{derived.rows_known:,} known already"
        )
    if result.columns_left_out:
        console.print(f"left out: {escape(', '.join(result.columns_left_out))}", soft_wrap=True)
    for days in result.touched:
        console.print(f"features to build again: {days.start_date} up to, not including, {days.end_date}")


def _print_status(status: "WarehouseStatus") -> None:
    from rich.markup import escape
    from rich.table import Column, Table

    headings = ("relation", "rows", "first day", "last day", "loads")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings))
    for row in status.relations:
        table.add_row(
            row.relation, f"{row.rows:,}", str(row.first_day or "-"), str(row.last_day or "-"), f"{row.loads:,}"
        )
    console = output()
    console.print(table)
    size = "" if status.size_bytes is None else f": {status.size_bytes / 1e6:,.1f} MB"
    console.print(f"{escape(status.location)}{size}", soft_wrap=True)
