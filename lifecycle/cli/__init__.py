"""The `lifecycle` command."""

import sys

import typer
from rich.console import Console
from rich.text import Text

from lifecycle.cli import features, release, run, simulate, snowflake, warehouse
from lifecycle.errors import LifecycleError

app = typer.Typer(
    name="lifecycle",
    help="Makes, judges, releases and watches risk models.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

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
