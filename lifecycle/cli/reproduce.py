"""Commands that prove what was decided and trained: replay a decision."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from lifecycle.artefacts.replay import Replay


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the root command."""
    app.command()(replay)


def replay(
    decision_id: Annotated[str, typer.Argument(help="Id of a recorded decision.")], *, as_json: AsJson = False
) -> None:
    """Recompute a recorded decision from its bundle, bit for bit. Exits with 1 on any difference."""
    from lifecycle.artefacts.replay import replay_decision
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import ensure_keys

    settings = Settings()
    keys = ensure_keys(settings)
    replays = replay_decision(decision_id, settings.decision_log_dir, settings.release_store, keys.public_keys)
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in replays], indent=2))
    else:
        for result in replays:
            _print_replay(result)
    if not all(result.is_same for result in replays):
        raise typer.Exit(1)


def _print_replay(result: "Replay") -> None:
    from rich.table import Table

    table = Table(
        title=f"Decision {result.decision_id}, {result.model}, {result.slot} of release {result.release_number}"
    )
    for column in ("", "recorded", "replayed", ""):
        table.add_column(column)
    for line in result.lines:
        table.add_row(line.name, line.recorded, line.replayed, "same" if line.is_same else "[bold red]differs[/]")
    console = output()
    console.print(table)
    verdict = "The same, the margin bit for bit." if result.is_same else "[bold red]Not the same.[/]"
    console.print(f"{verdict} Bundle {result.bundle_digest}")
