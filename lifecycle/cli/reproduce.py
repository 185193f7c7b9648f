"""Commands that prove what was decided and trained: replay decisions, rebuild a candidate."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lifecycle.artefacts.log_replay import LogReplay
    from lifecycle.artefacts.replay import Replay
    from lifecycle.assets.rebuild import Rebuild
    from lifecycle.settings.platform import Settings
    from serving.artefacts.signatures import PublicKeys

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the root command."""
    app.command()(replay)
    app.command()(rebuild)


def replay(
    decision_id: Annotated[
        str | None, typer.Argument(help="Id of a recorded decision; none with --all.", show_default=False)
    ] = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="Replay every decision of the log.")] = False,
    model: Annotated[str | None, typer.Option(help="With --all: only decisions of this model.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, help="With --all: decided from then on, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, help="With --all: decided before then, UTC.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute recorded decisions from their bundles, bit for bit. Exits with 1 on any difference.

    `--all` counts by bundle, and lists the first decisions that differ or cannot be replayed.
    """
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import ensure_keys

    if is_all == (decision_id is not None):
        raise typer.BadParameter("Expected the id of a decision, or --all and no id", param_hint="DECISION_ID")
    if not is_all and (model or since or until):
        raise typer.BadParameter("Expected --all with --model, --since and --until", param_hint="--all")
    settings = Settings()
    keys = ensure_keys(settings).public_keys
    if decision_id is not None:
        is_same = _replay_one(decision_id, settings, keys, as_json)
    else:
        is_same = _replay_all(settings, keys, (model, since, until), as_json)
    if not is_same:
        raise typer.Exit(1)


def _replay_one(decision_id: str, settings: "Settings", keys: "PublicKeys", as_json: bool) -> bool:
    from lifecycle.artefacts.replay import replay_decision

    replays = replay_decision(decision_id, settings.decision_log_dir, settings.release_store, keys)
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in replays], indent=2))
    else:
        for result in replays:
            _print_replay(result)
    return all(result.is_same for result in replays)


def _replay_all(
    settings: "Settings",
    keys: "PublicKeys",
    scope: tuple[str | None, datetime | None, datetime | None],
    as_json: bool,
) -> bool:
    from rich.console import Console
    from rich.status import Status

    from lifecycle.artefacts.log_replay import Scope, replay_log

    model, since, until = scope
    wanted = Scope(model, _utc(since), _utc(until))
    with Status("replaying", console=Console(stderr=True)) as status:
        found = replay_log(
            settings.decision_log_dir,
            settings.release_store,
            keys,
            wanted,
            lambda decisions: status.update(f"replaying: {decisions:,} decisions"),
        )
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print_log_replay(found)
    return found.is_same


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def _print_log_replay(found: "LogReplay") -> None:
    from rich.table import Table

    console = output()
    table = Table("model", "bundle", "decisions", "same", "differ", "not replayed", title="Replayed decisions")
    for digest, bundle in found.bundles.items():
        different = bundle.decisions - bundle.same - bundle.unreplayable
        numbers = (bundle.decisions, bundle.same, different, bundle.unreplayable)
        table.add_row(bundle.model, digest[:16], *(f"{number:,}" for number in numbers))
    console.print(table)
    for replay in found.different:
        _print_replay(replay)
    for left in found.unreplayable:
        console.print(f"[bold red]Not replayed:[/] decision {escape(left.decision_id)}: {escape(left.reason)}")
    attempts = f" {found.failed_attempts:,} failed attempts decided nothing." if found.failed_attempts else ""
    verdict = "All the same, margins bit for bit." if found.is_same else "[bold red]Not all the same.[/]"
    console.print(f"{found.decisions:,} decisions. {verdict}{attempts}")


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


def rebuild(
    digest: Annotated[str, typer.Argument(help="Digest of a candidate or of a bundle, or its unique beginning.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Train a candidate again from its frozen training set, and compare every file. Exits with 1 on any difference.

    Takes as long as the training did, and keeps nothing.
    """
    from lifecycle.artefacts.known_candidates import known_candidates
    from lifecycle.assets.rebuild import rebuild as rebuild_candidate
    from lifecycle.assets.resources import Stores

    stores = Stores()
    known = known_candidates(stores.settings)
    candidate = _candidate_of(digest, {name: found.as_of for name, found in known.items()}, stores.settings)

    def tell(stage: str, done: int, total: int) -> None:
        if not as_json and (done == total or done % max(1, total // 10) == 0):
            typer.echo(f"{stage}: {done} of {total}", err=True)

    found = rebuild_candidate(stores, known[candidate], candidate, tell)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print_rebuild(found)
    if not found.is_same:
        raise typer.Exit(1)


def _candidate_of(prefix: str, dates: "Mapping[str, str]", settings: "Settings") -> str:
    """The candidate's digest, given its beginning or that of a bundle with its model."""
    from lifecycle.artefacts.bundles import bundle_folder
    from lifecycle.errors import LifecycleError
    from lifecycle.releases.lookup import bundle_by_prefix, candidate_by_prefix
    from lifecycle.signing.keys import ensure_keys
    from serving.artefacts.bundle import read_bundle

    try:
        return candidate_by_prefix("any model", prefix, dates)
    except LifecycleError as no_candidate:
        try:
            bundle = bundle_by_prefix(settings.release_store, prefix)
        except LifecycleError:
            raise no_candidate from None
    folder = bundle_folder(settings.release_store, bundle)
    candidate = read_bundle(folder, ensure_keys(settings).public_keys).manifest.candidate_digest
    if candidate not in dates:
        raise LifecycleError(
            f"Expected the candidate {candidate[:16]} of the bundle {bundle[:16]}, found none; restore the folder of "
            f"candidates from a backup - in {settings.candidates_dir}"
        )
    return candidate


def _print_rebuild(found: "Rebuild") -> None:
    from rich.table import Table

    table = Table("file", "recorded", "rebuilt", "", title=f"Candidate of {found.model} as of {found.as_of}")
    for file in found.files:
        same = "same" if file.is_same else "[bold red]differs[/]"
        table.add_row(file.name, file.recorded[:16], file.rebuilt[:16], same)
    console = output()
    console.print(table)
    for name, (recorded, now) in found.changed.items():
        console.print(f"{escape(name)}: {recorded} then, {now} now")
    if not found.has_own_spec:
        console.print("The candidate keeps no model file; today's was read.")
    verdict = "The same, byte for byte." if found.is_same else "[bold red]Not the same.[/]"
    console.print(f"{verdict} Candidate {found.candidate_digest}, training set {found.training_set_digest}")
