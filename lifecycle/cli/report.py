"""`lifecycle report`: reports about a candidate for the people who validate it."""

import datetime as dt
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from lifecycle.cli.options import AsJson, Model
from lifecycle.errors import LifecycleError

app = typer.Typer(no_args_is_help=True, help="Write reports about a candidate for the people who validate it.")


@app.callback()
def group() -> None:
    """Write reports about a candidate for the people who validate it."""


@app.command("validation")
def validation(
    model: Model,
    digest: Annotated[
        str | None,
        typer.Argument(
            help="Digest of the candidate, or its unique beginning. Default: the model's current candidate of the "
            "newest date."
        ),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Date whose current candidate is reported, instead of a digest."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the report to this file: one page with its plots, which loads nothing.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Report what is known about a candidate: its gates, the champion on the same rows, approvals and open points.

    The report reads kept evidence and trains nothing. Without `--html` it prints a summary. A candidate whose gates
    never ran is an error.
    """
    import msgspec

    from lifecycle.assets.resources import Stores
    from lifecycle.cli.report_tables import print_report
    from lifecycle.local.validation_dossier import dossier
    from lifecycle.reports.validation_content import validation_report
    from lifecycle.reports.validation_page import validation_page
    from lifecycle.spec.model_files import read_model
    from serving.storage.durable import write_file

    if digest is not None and as_of is not None:
        raise LifecycleError("Expected a digest or a date, got both; leave one out - at `--as-of`")
    stores = Stores()
    policy = read_model(model, stores.settings.profile)
    found = dossier(stores, policy, digest, as_of.date() if as_of else None, dt.datetime.now(dt.UTC))
    report = validation_report(found)
    if html is not None:
        write_file(html, validation_page(found, report).encode())
    if as_json:
        typer.echo(msgspec.json.encode(report))
    else:
        print_report(report, html)
