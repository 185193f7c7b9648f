"""`lifecycle acknowledge`: accept a day's number of transactions."""

import getpass
from datetime import datetime
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(acknowledge)


def acknowledge(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="Day of `occurred_at`, UTC.")],
    reason: Annotated[str, typer.Option(help="Why this day's transactions are accepted as they are.")],
) -> None:
    """Accept a day with too few transactions, so that it no longer holds up training. Recorded for good."""
    from lifecycle.artefacts.acknowledged_days import AcknowledgedDays
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.risk_model import read_model

    settings = Settings()
    read_model(model)
    AcknowledgedDays(settings.evidence_dir, model).acknowledge(day.date(), getpass.getuser(), reason)
    typer.echo(f"{day.date()} is acknowledged for {model}: its number of transactions is accepted as it is.")
