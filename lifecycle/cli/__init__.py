"""The `lifecycle` command."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lifecycle.cli import features, release, run, simulate, snowflake, warehouse
from lifecycle.errors import LifecycleError

app = typer.Typer(
    name="lifecycle",
    help="Trains, validates, releases and monitors risk models.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"lifecycle {version('risk-model-lifecycle')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


run.register(app)
app.add_typer(warehouse.app, name="warehouse")
app.add_typer(features.app, name="features")
release.register(app)
app.add_typer(simulate.app, name="simulate")
snowflake.register(app)


def main() -> None:
    """Run the command; an error that a person can act on is printed without a traceback and exits with 1."""
    try:
        app()
    except LifecycleError as error:
        Console(stderr=True).print(Text("Error: ", "bold red") + Text(str(error)), soft_wrap=True)
        sys.exit(1)
