"""`lifecycle compare`: two candidates side by side, and their difference on the rows of both holdouts."""

import json
from typing import Annotated

import typer

from lifecycle.cli.options import AsJson
from lifecycle.console import output
from lifecycle.errors import LifecycleError

CandidateDigest = Annotated[
    str, typer.Argument(help="Digest of a candidate, or its unique beginning; `lifecycle train` prints it.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("compare")(compare)


def compare(first: CandidateDigest, second: CandidateDigest, *, as_json: AsJson = False) -> None:
    """Compare two candidates of a model: metrics, the paired difference, parameters, features and gates.

    Both judged models score the rows that both holdouts have, which neither was fitted on, with the outcomes as the
    later date knows them.
    """
    from lifecycle.artefacts.known_candidates import known_candidates
    from lifecycle.artefacts.paired_holdouts import holdout_scores, pair
    from lifecycle.assets.resources import Stores
    from lifecycle.cli.candidate_tables import candidate_document, comparison_document, print_comparison
    from lifecycle.modelling.training_set import examples_from_table
    from lifecycle.releases.lookup import candidate_by_prefix
    from lifecycle.spec.model_files import read_model

    stores = Stores()
    known = known_candidates(stores.settings)
    dates = {digest: found.as_of for digest, found in known.items()}
    digests = [candidate_by_prefix("any model", prefix, dates) for prefix in (first, second)]
    models = sorted({known[digest].model for digest in digests})
    if len(models) > 1:
        raise LifecycleError(f"Expected two candidates of one model, got one each of {' and '.join(models)}")
    spec = read_model(models[0], stores.settings.profile)
    sides, scored = [], []
    for digest in digests:
        candidate, evidence = known[digest].read(digest)
        lineage = candidate.lineage
        table = stores.training_sets(spec.name).read_whole(lineage.as_of, lineage.training_set_digest)
        scored.append(holdout_scores(spec, candidate, examples_from_table(table, spec)))
        sides.append(candidate_document(candidate.deciding.model, candidate, evidence))
    paired = pair(spec, scored[0], scored[1])
    if as_json:
        typer.echo(json.dumps(comparison_document((sides[0], sides[1]), paired)))
    else:
        print_comparison(output(), (sides[0], sides[1]), paired)
