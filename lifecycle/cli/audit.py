"""`lifecycle audit`: everything about one decision on a page."""

import datetime as dt
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson
from lifecycle.cli.reproduce import MOMENTS

if TYPE_CHECKING:
    from lifecycle.artefacts.log_replay import Scope


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    decision_id: Annotated[str, typer.Argument(help="Id of a recorded decision, as the caller sent it.")],
    model: Annotated[str | None, typer.Option(help="Only decisions of this model.")] = None,
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Decided on that day, UTC; reads less of the log.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(formats=MOMENTS, help="Decided from then on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=MOMENTS, help="Decided before then, UTC.")] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Folder of a decision log, for example an archive. Default: that of LIFECYCLE_HOME."),
    ] = None,
    *,
    has_values: Annotated[
        bool, typer.Option("--values", help="Show what the caller sent: a customer's data, hidden by default.")
    ] = False,
    has_otherwise: Annotated[
        bool,
        typer.Option(
            "--otherwise", help="Also score the inputs with the other bundles of the release and its neighbours."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer an auditor's questions about one decision, and check every answer. Exits with 1 if a check fails.

    Shows what was decided and why, the model and its training data, gates and approvals, the release in force and who
    released it, what the ledger and the signatures prove, and whether a replay gives the same bits.
    """
    from lifecycle.cli.audit_page import print_audit
    from lifecycle.local.audit.decision import Asked, audit_decision
    from lifecycle.settings.platform import Settings

    scope = _scope(model, date, since, until)
    found = audit_decision(Settings(), decision_id, scope, log=log, asked=Asked(has_values, has_otherwise))
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        print_audit(found)
    if not found.is_passed:
        raise typer.Exit(1)


def _scope(model: str | None, date: datetime | None, since: datetime | None, until: datetime | None) -> "Scope":
    from lifecycle.artefacts.log_replay import Scope

    if date is not None and (since is not None or until is not None):
        raise typer.BadParameter("Expected either --date, or --since and --until", param_hint="--date")
    if date is not None:
        since, until = date, date + timedelta(days=1)
    return Scope(model, _utc(since), _utc(until))


def _utc(moment: datetime | None) -> dt.datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
