"""`lifecycle verify`: a training set and the candidate that was trained on it, against their digests."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lifecycle.cli.options import AsJson, Model

if TYPE_CHECKING:
    from lifecycle.artefacts.erased_examples import SnapshotCheck


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    model: Model,
    as_of: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="Date of the training set.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Verify a training set and its candidate by their digests, but for erased rows. Exits with 1 on a difference."""
    from lifecycle.artefacts.candidates import CandidateStore
    from lifecycle.artefacts.training_sets import TrainingSetStore
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model
    from lifecycle.warehouse.erasure import record_numbers

    settings = Settings()
    spec, date = read_model(model), as_of.date().isoformat()
    candidates = CandidateStore(settings.candidates_dir, model)
    candidate = candidates.current(date) if candidates.has(date) else None
    if candidate is not None:
        candidate.expect_whole()
    digest = None if candidate is None else candidate.lineage.training_set_digest
    checked = TrainingSetStore(settings.training_sets_dir, model).check(spec, date, digest)
    trained = None if candidate is None else candidate.digest
    numbers = record_numbers(settings)
    records = sorted({number for entity_hash in checked.erased for number in numbers.get(entity_hash, [])})
    if as_json:
        typer.echo(json.dumps(_document(model, date, checked, records, trained)))
    else:
        _print(date, checked, records, trained)
    if checked.problem is not None:
        raise typer.Exit(1)


def _document(
    model: str, as_of: str, checked: "SnapshotCheck", records: list[int], candidate: str | None
) -> dict[str, Any]:
    return {
        "model": model,
        "as_of": as_of,
        "training_set_digest": checked.digest,
        "rows_frozen": checked.rows_frozen,
        "rows": checked.rows,
        "rows_erased": checked.rows_erased,
        "erasure_records": records,
        "candidate_digest": candidate,
        "problem": checked.problem,
    }


def _print(as_of: str, checked: "SnapshotCheck", records: list[int], candidate: str | None) -> None:
    typer.echo(f"Training set as of {as_of}, digest {checked.digest}")
    if checked.rows_erased:
        named = ", ".join(map(str, records)) or "missing"
        typer.echo(f"  erased rows: {checked.rows_erased:,} (erasure record {named})")
    if checked.problem is None:
        rest = f"the other {checked.rows:,} rows are" if checked.rows_erased else f"{checked.rows:,} rows,"
        typer.echo(f"  {rest} as they were frozen")
    else:
        typer.echo(f"  {checked.problem}")
    typer.echo(f"Candidate {candidate}: its files are whole" if candidate else "No candidate was trained on it")
