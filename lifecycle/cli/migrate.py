"""`lifecycle migrate`: opens a home that an earlier version wrote."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lifecycle.local.migration import Finding, Kept


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("migrate")(migrate_command)


def migrate_command(
    *,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Show what is due, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a home that an earlier version wrote to this one; idempotent, and continues after a crash.

    Stop the home's processes first (`lifecycle down`). Files that an earlier version wrote and this one reads stay as
    they are; they are listed with the reason.
    """
    from lifecycle.local.migration import migrate, read_kept, read_plan
    from lifecycle.settings.platform import Settings

    settings = Settings()
    if is_dry:
        steps = read_plan(settings)
    else:
        steps = migrate(settings, lambda step: typer.echo(f"{step.step}: {step.action}", err=True))
    kept = read_kept(settings)
    if as_json:
        rows = {"steps": [asdict(step) for step in steps], "kept": [asdict(it) for it in kept]}
        typer.echo(json.dumps({"is_dry_run": is_dry} | rows))
        return
    _print(steps, kept, is_dry=is_dry)


def _print(steps: "Sequence[Finding]", kept: "Sequence[Kept]", *, is_dry: bool) -> None:
    from rich.table import Table

    console = output()
    if steps:
        table = Table("step", "found", "would do" if is_dry else "done", "about s")
        table.columns[3].justify = "right"
        for step in steps:
            table.add_row(step.step, step.found, step.action, f"{step.seconds:.0f}")
        console.print(table)
    else:
        console.print("Nothing is due.")
    if kept:
        table = Table("stays as it is", "found", "because")
        for it in kept:
            table.add_row(it.what, it.found, it.reason)
        console.print(table)
    if steps and is_dry:
        console.print("Nothing was changed. Stop the home's processes, then run `lifecycle migrate`.")
