"""`lifecycle erase`: remove a person from the installation."""

import json
from typing import Annotated

import typer

from lifecycle.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(erase)


def erase(
    customer: Annotated[str, typer.Option(help="Id of the person or company; it is neither printed nor recorded.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded and must not contain the id.")],
    kind: Annotated[
        str | None, typer.Option(help="Kind of entity that the id names, if raw tables of several kinds were loaded.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove a person or company from raw tables, marts, decisions and training sets; list what cannot be removed."""
    from lifecycle.settings.child_environment import user_name
    from lifecycle.settings.platform import Settings
    from lifecycle.warehouse import erasure

    record = erasure.erase(Settings(), customer, by=user_name(), reason=reason, kind=kind)
    if as_json:
        import msgspec

        typer.echo(json.dumps(msgspec.to_builtins(record)))
        return
    typer.echo(f"Erased the entity with the hash {record.customer_hash}.")
    for table, rows in (record.rows | record.training_sets).items():
        typer.echo(f"  {rows:,} rows of {table}")
    typer.echo("Not erased:")
    for what, why in record.remains.items():
        typer.echo(f"  {what}: {why}")
