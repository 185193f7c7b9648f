"""The `lifecycle` command."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lifecycle.cli import (
    approvals,
    audit,
    backtest,
    check,
    compare,
    days,
    erase,
    features,
    first_release,
    ledger,
    lineage,
    migrate,
    mirror,
    model_key,
    new_model,
    release,
    report,
    reproduce,
    run,
    simulate,
    snowflake,
    train,
    verify,
    warehouse,
)
from lifecycle.errors import LifecycleError
from lifecycle.settings.child_environment import forget_foreign_variables
from serving.contract.distribution import DISTRIBUTION
from serving.storage.private_files import keep_files_private

app = typer.Typer(
    name="lifecycle",
    help="Train, validate, release and monitor risk models. Start with `lifecycle demo`, which runs the whole loop on "
    "simulated transactions, or with `lifecycle init` for an empty installation.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"lifecycle {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def root(
    *,
    is_version_wanted: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Repair the home's modes before a command runs."""
    from lifecycle.local.private_home import repair_home
    from lifecycle.settings.platform import Settings

    if message := repair_home(Settings()):
        typer.echo(message, err=True)


run.register(app)
check.register(app)
new_model.register(app)
app.add_typer(warehouse.app, name="warehouse")
app.add_typer(features.app, name="features")
release.register(app)
reproduce.register(app)
audit.register(app)
lineage.register(app)
first_release.register(app)
approvals.register(app)
train.register(app)
compare.register(app)
app.add_typer(report.app, name="report")
backtest.register(app)
mirror.register(app)
migrate.register(app)
days.register(app)
erase.register(app)
verify.register(app)
app.add_typer(ledger.app, name="ledger")
model_key.register(app)
app.add_typer(simulate.app, name="simulate")
simulate.register(app)
snowflake.register(app)


def main() -> None:
    """Run the command; a `LifecycleError` is printed without a traceback and exits with 1."""
    keep_files_private()
    forget_foreign_variables()
    try:
        app()
    except LifecycleError as error:
        Console(stderr=True).print(Text("Error: ", "bold red") + Text(str(error)), soft_wrap=True)
        sys.exit(1)
