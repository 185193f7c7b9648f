"""The `lifecycle` command."""

import sys

import typer
from rich.console import Console

from lifecycle.errors import LifecycleError

app = typer.Typer(
    name="lifecycle",
    help="Makes, judges, releases and watches risk models.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; an error that a person can act on is printed without a traceback and exits with 1."""
    try:
        app()
    except LifecycleError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {error}", markup=True, highlight=False, soft_wrap=True)
        sys.exit(1)
