"""`lifecycle train`: training set, candidate and gates without the UI; nothing is registered."""

import datetime as dt
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson, Model
from lifecycle.console import output
from lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from lifecycle.artefacts.candidates import Candidate
    from lifecycle.artefacts.evidence import GateEvidence
    from lifecycle.assets.resources import Stores
    from lifecycle.spec.risk_model import RiskModelSpec


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("train")(train)


def train(
    model: Model,
    as_of: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Knowledge cut-off.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Freeze a training set, train a candidate, run its gates, and print what the Dagster UI shows.

    Registers and releases nothing, whatever the gates say. `lifecycle release --first` releases the candidate as a
    model's first; `lifecycle compare` compares two.
    """
    from lifecycle.assets.resources import Stores
    from lifecycle.cli.candidate_tables import candidate_document, print_candidate
    from lifecycle.spec.model_files import read_model

    stores = Stores()
    spec = read_model(model, stores.settings.profile)
    _expect_possible(spec, as_of.date())
    candidate, evidence = _trained(spec, stores, as_of.date(), is_told=not as_json)
    if as_json:
        typer.echo(json.dumps(candidate_document(spec.name, candidate, evidence)))
    else:
        print_candidate(output(), spec, candidate, evidence)


def _trained(
    spec: "RiskModelSpec", stores: "Stores", as_of: dt.date, *, is_told: bool
) -> tuple["Candidate", "GateEvidence"]:
    """The candidate and the gates' verdicts on it; both are found by the candidate's digest alone."""
    import dagster as dg

    from lifecycle.assets.served import begin_standby
    from lifecycle.assets.training import fit_candidate, freeze_training_set
    from lifecycle.assets.validation import judge_candidate
    from lifecycle.modelling.training_set import examples_from_table
    from lifecycle.warehouse import Use, open_warehouse

    def tell(stage: str, done: int, total: int) -> None:
        if is_told and (done == total or done % max(1, total // 10) == 0):
            typer.echo(f"{stage}: {done} of {total}", err=True)

    try:
        frozen = freeze_training_set(
            spec, stores, as_of, lambda step: open_warehouse(stores.settings, Use(step, spec.name)), is_current=False
        )
    except dg.Failure as failure:
        raise LifecycleError(failure.description or "No training set was frozen") from failure
    digest = frozen.description.digest
    tell("training set", 1, 1)
    table = stores.training_sets(spec.name).read_whole(as_of.isoformat(), digest)
    examples = examples_from_table(table, spec)
    store = stores.candidates(spec.name)
    begin_standby()
    candidate, _ = fit_candidate(spec, examples, as_of, digest, store, tell, is_current=False)
    evidence = judge_candidate(spec, stores, candidate, examples)
    stores.evidence(spec.name).write_gates(evidence, is_backtest=True)
    return candidate, evidence


def _expect_possible(spec: "RiskModelSpec", as_of: dt.date) -> None:
    """Refuse a date that is no partition: before the first whole training set, or in the future."""
    from lifecycle.assets.partitions import as_of_dates

    first, today = as_of_dates(spec).start.date(), dt.datetime.now(dt.UTC).date()
    if not first <= as_of <= today:
        nearest = max(first, min(as_of, today))
        raise LifecycleError(
            f"Expected a date from {first}, the first with a whole training set of {spec.name}, to {today}, got "
            f"{as_of}; the nearest is {nearest} - at `--as-of`"
        )
