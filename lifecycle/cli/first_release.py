"""`lifecycle release --first`: the first champion of a model, which no backfill releases."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.mirror import mirror_after_release
from lifecycle.cli.options import AsJson, Model
from lifecycle.errors import LifecycleError
from lifecycle.settings.child_environment import user_name

if TYPE_CHECKING:
    from lifecycle.artefacts.candidates import Candidate, CandidateStore


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("release")(release)


def release(
    model: Model,
    candidate: Annotated[
        str | None,
        typer.Argument(help="Digest of the candidate, or its unique beginning, as `lifecycle train` prints it."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, kept in the release history.")] = "",
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Take the current candidate of this date.")
    ] = None,
    *,
    first: Annotated[
        bool, typer.Option("--first", help="Required: this command makes a model's first release, and no other.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Release a candidate as a model's first champion. Its gates run again first, and all of them must pass."""
    from lifecycle.assets.first_release import release_first
    from lifecycle.assets.resources import Stores
    from lifecycle.cli.release import say
    from lifecycle.spec.model_files import read_model

    if not first or not reason.strip():
        missing = "--first" if not first else "--reason TEXT"
        raise LifecycleError(
            f"Expected {missing}: this command makes a model's first release; later ones come from the platform, or "
            f"from `lifecycle promote {model} BUNDLE --reason ...`"
        )
    stores = Stores()
    spec = read_model(model, stores.settings.profile)
    chosen = _chosen(stores.candidates(spec.name), spec.name, candidate, as_of)
    say(release_first(spec, stores, chosen, by=user_name(), reason=reason), as_json)
    mirror_after_release(spec.name)


def _chosen(store: "CandidateStore", model: str, digest: str | None, as_of: datetime | None) -> "Candidate":
    """The candidate that a person names, by its digest or its date."""
    from lifecycle.releases.lookup import candidate_by_prefix

    if (digest is None) == (as_of is None):
        raise LifecycleError("Expected either the digest of a candidate or --as-of DATE - at `lifecycle release`")
    if as_of is not None:
        return store.current(as_of.date().isoformat())
    return store.by_digest(candidate_by_prefix(model, digest or "", store.dates()))
