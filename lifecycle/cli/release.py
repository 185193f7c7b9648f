"""Commands for releases: list, promote, canary, shadow, roll back and freeze."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.mirror import mirror_after_release
from lifecycle.cli.options import AsJson, Model
from lifecycle.errors import LifecycleError
from lifecycle.releases.lookup import bundle_by_prefix, known_model
from lifecycle.settings.child_environment import user_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from lifecycle.releases.store import ReleaseStore
    from serving.contract.documents import Freeze, Manifest, Release, Resume

Reason = Annotated[str, typer.Option(help="Reason, kept in the release history.")]
BundleDigest = Annotated[
    str, typer.Argument(help="Digest of a sealed bundle, or its unique beginning, as `lifecycle releases` prints it.")
]
ShadowDigest = Annotated[
    str, typer.Argument(help="Digest of a sealed bundle or of an inconclusive candidate, or its unique beginning.")
]
After = Annotated[int | None, typer.Option(help="Reject the change unless this is the number of the latest release.")]


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
    ):
        app.command()(command)


def releases(model: Model, *, as_json: AsJson = False) -> None:
    """List a model's releases; the last one is in force. Shows a freeze, a rollback's hold, and missing approvals."""
    from lifecycle.cli.release_tables import history_document, print_history

    store = open_store()
    model = known_model(store.root, model)
    history = store.history(model)
    freeze, rollback, waiting = store.switches.freeze_in_force(), store.switches.hold(history), _waiting(store, model)
    if as_json:
        typer.echo(json.dumps(history_document(model, history, freeze, rollback) | {"waiting": waiting}))
        return
    print_history(model, history, freeze, rollback)
    for line in waiting:
        typer.echo(line)


def promote(
    model: Model, bundle_digest: BundleDigest, reason: Reason, after: After = None, *, as_json: AsJson = False
) -> None:
    """Make a verified bundle the champion. Ends the canary of this model.

    Its gates passed or are waived, and as many people approved it as the model's file demands (`lifecycle approvals`).
    """
    store = open_store()
    release = store.publish(
        known_model(store.root, model), bundle_by_prefix(store.root, bundle_digest), by=user_name(), reason=reason,
        after=after, is_withdrawn_allowed=True, expect=expectation(store, model),
    )  # fmt: skip
    say(release, as_json)
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
    *,
    as_json: AsJson = False,
) -> None:
    """Let a canary answer a share of the entities, or change the share of the current canary.

    A larger share needs what `lifecycle promote` needs; a smaller one needs no approval.
    """
    store = open_store()
    release = store.put_canary(
        known_model(store.root, model), bundle_by_prefix(store.root, bundle_digest), percent=percent, salt=salt,
        by=user_name(), reason=reason, after=after, is_withdrawn_allowed=True, expect=expectation(store, model),
    )  # fmt: skip
    say(release, as_json)
    mirror_after_release(model)


def end_canary(model: Model, reason: Reason, after: After = None, *, as_json: AsJson = False) -> None:
    """End the canary, so that the champion answers every entity. Allowed during a freeze."""
    store = open_store()
    say(store.end_canary(known_model(store.root, model), by=user_name(), reason=reason, after=after), as_json)
    mirror_after_release(model)


def shadow(
    model: Model, bundle_digest: ShadowDigest, reason: Reason, after: After = None, *, as_json: AsJson = False
) -> None:
    """Let a bundle score copies of the traffic in shadow. Its scores are recorded, never returned.

    The digest of a candidate whose gates had too little evidence, and none of which failed, seals its bundle for the
    shadow alone: no command promotes it.
    """
    store = open_store()
    model, by = known_model(store.root, model), user_name()
    release = _inconclusive_in_shadow(model, bundle_digest, by=by, reason=reason, after=after)
    if release is None:
        bundle = bundle_by_prefix(store.root, bundle_digest)
        release = store.put_shadow(model, bundle, by=by, reason=reason, after=after)
    say(release, as_json)
    mirror_after_release(model)


def _inconclusive_in_shadow(model: str, digest: str, *, by: str, reason: str, after: int | None) -> "Release | None":
    """The release with a candidate in the shadow; ``None`` if no candidate of the model begins with the digest."""
    from lifecycle.assets.resources import Stores
    from lifecycle.assets.shadow_trial import try_in_shadow
    from lifecycle.releases.lookup import candidate_by_prefix
    from lifecycle.spec.model_files import model_names, read_model

    stores = Stores()
    if model not in model_names():
        return None
    dates = stores.candidates(model).dates()
    if not any(candidate.startswith(digest.lower()) for candidate in dates):
        return None
    candidate = stores.candidates(model).by_digest(candidate_by_prefix(model, digest, dates))
    spec = read_model(model, stores.settings.profile)
    return try_in_shadow(spec, stores, candidate, by=by, reason=reason, after=after)


def end_shadow(model: Model, reason: Reason, after: After = None, *, as_json: AsJson = False) -> None:
    """End the shadow. Allowed during a freeze."""
    store = open_store()
    say(store.end_shadow(known_model(store.root, model), by=user_name(), reason=reason, after=after), as_json)
    mirror_after_release(model)


def rollback(model: Model, reason: Reason, after: After = None, *, as_json: AsJson = False) -> None:
    """Release the previous champion again, without canary and shadow. Allowed during a freeze.

    No model is promoted automatically from then on until `lifecycle resume`. With --after, a repeated command rolls
    back once.
    """
    store = open_store()
    release = store.rollback(known_model(store.root, model), by=user_name(), reason=reason, after=after)
    say(release, as_json)
    if not as_json:
        typer.echo(
            f"Automatic promotion of {model} is on hold; `lifecycle resume {model} --reason ...` allows it again."
        )
    _alert_of_hold(release)
    mirror_after_release(model)


def resume(model: Model, reason: Reason, *, as_json: AsJson = False) -> None:
    """Allow automatic promotion of a model again after a rollback."""
    store = open_store()
    resumed = store.switches.resume(known_model(store.root, model), store.history(model), by=user_name(), reason=reason)
    _tell(
        resumed,
        f"{model} may be promoted automatically again: the hold of release {resumed.release_number} is over.",
        as_json,
    )
    mirror_after_release(model)


def freeze(reason: Reason, *, as_json: AsJson = False) -> None:
    """Freeze promotion of every model until `lifecycle unfreeze`. Rollback stays possible."""
    frozen = open_store().switches.freeze(by=user_name(), reason=reason)
    _tell(frozen, "Promotion is frozen for every model; `lifecycle unfreeze --reason ...` allows it again.", as_json)


def unfreeze(reason: Reason, *, as_json: AsJson = False) -> None:
    """Allow promotion again."""
    _tell(open_store().switches.unfreeze(by=user_name(), reason=reason), "Promotion is allowed.", as_json)


def open_store() -> "ReleaseStore":
    """The release store of LIFECYCLE_HOME, with its keys."""
    from lifecycle.releases.store import ReleaseStore
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import ensure_keys

    settings = Settings()
    return ReleaseStore(settings.release_store, ensure_keys(settings))


def expectation(store: "ReleaseStore", model: str) -> "Callable[[Manifest], None]":
    """Refuses a bundle without the verdicts, waivers and approvals that its model demands at that moment.

    A model without a file in this installation demands no approval.
    """
    import datetime as dt

    from lifecycle.releases.permission import Permissions
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import model_names, read_model

    spec = read_model(model, Settings().profile).promotion if model in model_names() else None
    return lambda manifest: Permissions(store, model, spec, dt.datetime.now(dt.UTC)).expect_promotable(manifest)


def _waiting(store: "ReleaseStore", model: str) -> list[str]:
    """What candidates wait for, a sentence each; a model without a usable file has no policy to wait for."""
    from lifecycle.cli.approval_tables import waiting_lines
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import model_names, read_model

    settings = Settings()
    if model not in model_names():
        return []
    try:
        return waiting_lines(settings, store, read_model(model, settings.profile))
    except LifecycleError as error:
        return [f"Approvals cannot be shown: {error}"]


def say(release: "Release", as_json: bool) -> None:
    """Print a release as a sentence or as JSON."""
    from lifecycle.cli.release_tables import release_text

    _tell(release, release_text(release), as_json)


def _tell(document: "Release | Freeze | Resume", text: str, as_json: bool) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(document) if as_json else text)


def _alert_of_hold(rollback: "Release") -> None:
    """Raise the alert once; where it cannot be written, warn, because the rollback is in force."""
    import datetime as dt

    from lifecycle.releases.alert_log import raise_once
    from lifecycle.releases.promotion_hold import hold_alert
    from lifecycle.settings.platform import Settings

    settings = Settings()
    alert = hold_alert(rollback, dt.datetime.now(dt.UTC))
    try:
        raise_once(settings, alert)
    except OSError as error:
        typer.echo(f"Warning: the alert could not be written, {error.strerror} - at {settings.root}", err=True)
