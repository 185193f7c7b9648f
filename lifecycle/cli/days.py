"""`lifecycle acknowledge`: accept a day's number of transactions."""

import json
from datetime import datetime
from typing import Annotated

import typer

from lifecycle.cli.options import AsJson, Model


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(acknowledge)


def acknowledge(
    model: Model,
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="Day of `occurred_at`, UTC.")],
    reason: Annotated[str, typer.Option(help="Why this day's transactions are accepted as they are.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Accept a day with too few transactions, so that it no longer holds up training. Recorded for good."""
    from lifecycle.artefacts.acknowledged_days import AcknowledgedDays
    from lifecycle.settings.child_environment import user_name
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model

    settings = Settings()
    read_model(model)
    person = user_name()
    AcknowledgedDays(settings.evidence_dir, model).acknowledge(day.date(), person, reason)
    if as_json:
        typer.echo(json.dumps({"model": model, "day": day.date().isoformat(), "by": person, "reason": reason}))
        return
    typer.echo(f"{day.date()} is acknowledged for {model}: its number of transactions is accepted as it is.")
