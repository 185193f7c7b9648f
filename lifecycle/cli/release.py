"""Commands for releases: list, promote, canary, shadow, roll back, freeze, and replay a decision."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.mirror import mirror_after_release
from lifecycle.console import output

if TYPE_CHECKING:
    from lifecycle.artefacts.replay import Replay
    from lifecycle.releases.store import ReleaseStore
    from serving.contract.documents import Freeze, Release, SlotRelease

Reason = Annotated[str, typer.Option(help="Reason, kept in the release history.")]
Model = Annotated[str, typer.Argument(help="Name of the model, for example card_fraud.")]
BundleDigest = Annotated[str, typer.Argument(help="Digest of a sealed bundle, as `lifecycle releases` prints it.")]
After = Annotated[int | None, typer.Option(help="Reject the change unless this is the number of the latest release.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the root command."""
    for command in (
        releases,
        promote,
        canary,
        end_canary,
        shadow,
        end_shadow,
        rollback,
        resume,
        freeze,
        unfreeze,
        replay,
    ):
        app.command()(command)


def releases(model: Model, *, as_json: AsJson = False) -> None:
    """List a model's releases; the last one is in force."""
    store = _store()
    history = store.history(model)
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(history))
        return
    _print_history(model, history, store.freeze_state(), store.hold(model))


def promote(model: Model, bundle_digest: BundleDigest, reason: Reason, after: After = None) -> None:
    """Make a verified bundle the champion. Ends the canary of this model."""
    store = _store()
    release = store.publish(
        model, bundle_digest, by=getpass.getuser(), reason=reason, after=after, is_withdrawn_allowed=True
    )
    _say(release)
    mirror_after_release(model)


def canary(
    model: Model,
    bundle_digest: BundleDigest,
    reason: Reason,
    percent: Annotated[float, typer.Option(help="Percentage of the entities that the canary answers, 0 to 100.")],
    salt: Annotated[
        str | None, typer.Option(help="Salt of the hash that selects the entities. Default: random.")
    ] = None,
    after: After = None,
) -> None:
    """Let a canary answer a share of the entities, or change the share of the current canary."""
    release = _store().put_canary(
        model, bundle_digest, percent=percent, salt=salt, by=getpass.getuser(), reason=reason, after=after,
        is_withdrawn_allowed=True,
    )  # fmt: skip
    _say(release)
    mirror_after_release(model)


def end_canary(model: Model, reason: Reason, after: After = None) -> None:
    """End the canary, so that the champion answers every entity. Allowed during a freeze."""
    _say(_store().end_canary(model, by=getpass.getuser(), reason=reason, after=after))
    mirror_after_release(model)


def shadow(model: Model, bundle_digest: BundleDigest, reason: Reason, after: After = None) -> None:
    """Let a bundle score copies of the traffic in shadow. Its scores are recorded, never returned."""
    _say(_store().put_shadow(model, bundle_digest, by=getpass.getuser(), reason=reason, after=after))
    mirror_after_release(model)


def end_shadow(model: Model, reason: Reason, after: After = None) -> None:
    """End the shadow. Allowed during a freeze."""
    _say(_store().end_shadow(model, by=getpass.getuser(), reason=reason, after=after))
    mirror_after_release(model)


def rollback(model: Model, reason: Reason, standing: After = None) -> None:
    """Release the previous champion again, without canary and shadow. Allowed during a freeze.

    No model is promoted automatically from then on until `lifecycle resume`.
    """
    _say(_store().rollback(model, by=getpass.getuser(), reason=reason, standing=standing))
    typer.echo(f"Automatic promotion of {model} is on hold; `lifecycle resume {model} --reason ...` allows it again.")
    mirror_after_release(model)


def resume(model: Model, reason: Reason) -> None:
    """Allow automatic promotion of a model again after a rollback."""
    resumed = _store().resume(model, by=getpass.getuser(), reason=reason)
    typer.echo(f"{model} may be promoted automatically again: the hold of release {resumed.release_number} is over.")
    mirror_after_release(model)


def freeze(reason: Reason) -> None:
    """Freeze promotion of every model until `lifecycle unfreeze`. Rollback stays possible."""
    _store().freeze(by=getpass.getuser(), reason=reason)
    typer.echo("Promotion is frozen for every model; `lifecycle unfreeze --reason ...` allows it again.")


def unfreeze(reason: Reason) -> None:
    """Allow promotion again."""
    _store().unfreeze(by=getpass.getuser(), reason=reason)
    typer.echo("Promotion is allowed.")


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


def _store() -> "ReleaseStore":
    from lifecycle.releases.store import ReleaseStore
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import ensure_keys

    settings = Settings()
    return ReleaseStore(settings.release_store, ensure_keys(settings))


def _say(release: "Release") -> None:
    restored = f", as release {release.restores} had it" if release.restores is not None else ""
    canary, shadow = release.canary, release.shadow
    beside = f"; canary {canary.bundle_digest} answers {_share(canary)}" if canary else ""
    beside += f"; shadow {shadow.bundle_digest}" if shadow else ""
    typer.echo(
        f"{release.model}: release {release.number} is in force, champion {release.champion.bundle_digest} "
        f"(as of {release.champion.as_of}){restored}{beside}."
    )


def _print_history(
    model: str, history: "tuple[Release, ...]", switch: "Freeze | None", rollback: "Release | None"
) -> None:
    from rich.markup import escape
    from rich.table import Table

    from lifecycle.releases.promotion_hold import hold_text

    console = output()
    table = Table(title=f"Releases of {model}")
    for column in ("number", "champion", "as of", "canary", "shadow", "kind", "released at (UTC)", "by", "reason"):
        table.add_column(column)
    for previous, release in zip((None, *history), history, strict=False):
        slots = (release.champion.bundle_digest[:16], release.champion.as_of, *_beside(release))
        released_at = f"{release.released_at:%Y-%m-%d %H:%M:%S}"
        row = (str(release.number), *slots, kind_of(previous, release), released_at, release.released_by)
        table.add_row(*row, escape(release.reason))
    console.print(table)
    if switch is not None and switch.is_frozen:
        console.print(f"[yellow]Promotion is frozen[/] by {switch.changed_by}: {escape(switch.reason)}")
    if rollback is not None:
        console.print(f"[yellow]Automatic promotion is on hold[/]: {escape(hold_text(rollback))}")


def kind_of(previous: "Release | None", release: "Release") -> str:
    """The kind of change from the previous release, in a word or two."""
    if release.restores is not None:
        return f"rollback to {release.restores}"
    if previous is None or previous.champion.bundle_digest != release.champion.bundle_digest:
        return "promotion"
    slot = "canary" if previous.canary != release.canary else "shadow"
    return f"{slot} ended" if getattr(release, slot) is None else slot


def _beside(release: "Release") -> tuple[str, str]:
    canary, shadow = release.canary, release.shadow
    share = f"{canary.bundle_digest[:16]} {_share(canary)}" if canary else "-"
    return share, shadow.bundle_digest[:16] if shadow else "-"


def _share(canary: "SlotRelease") -> str:
    return "without a share" if canary.percent is None else f"{canary.percent:g} %"


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
