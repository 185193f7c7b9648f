"""Releases as text, table and JSON."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from lifecycle.console import output
from lifecycle.releases.promotion_hold import hold_document, hold_text
from lifecycle.releases.store import ReleaseStore
from serving.contract.documents import Freeze, Release, SlotRelease

SHORT_DIGITS = 12
"""Digits of a digest in a table: enough for the next command, and few enough for 80 columns."""


def release_text(release: Release) -> str:
    """A release in a sentence."""
    restored = f", as release {release.restores} had it" if release.restores is not None else ""
    canary, shadow = release.canary, release.shadow
    challengers = f"; canary {canary.bundle_digest} answers {_share(canary)}" if canary else ""
    challengers += f"; shadow {shadow.bundle_digest}" if shadow else ""
    return (
        f"{release.model}: release {release.number} is in force, champion {release.champion.bundle_digest} "
        f"(as of {release.champion.as_of}){restored}{challengers}."
    )


def history_document(
    model: str, history: Sequence[Release], freeze: Freeze | None, rollback: Release | None
) -> dict[str, Any]:
    """The releases and what stops promotion, as JSON types."""
    return {
        "model": model,
        "releases": msgspec.to_builtins(history),
        "freeze": msgspec.to_builtins(freeze),
        "promotion_hold": hold_document(rollback),
    }


def print_history(model: str, history: Sequence[Release], freeze: Freeze | None, rollback: Release | None) -> None:
    """A table of the releases, and what stops promotion below it.

    Digests keep their first digits at any width; only texts are folded.
    """
    console = output()
    has_challengers = any(release.canary or release.shadow for release in history)
    table = Table(title=f"Releases of {model}")
    table.add_column("no.", justify="right", no_wrap=True)
    table.add_column("champion", no_wrap=True, min_width=SHORT_DIGITS)
    table.add_column("as of", no_wrap=True, min_width=len("2026-01-01"))
    if has_challengers:
        table.add_column("challengers", overflow="fold", min_width=SHORT_DIGITS)
    table.add_column("released (UTC)", overflow="fold", min_width=len("2026-01-01"))
    table.add_column("change and reason", overflow="fold", min_width=SHORT_DIGITS)
    for previous, release in zip((None, *history), history, strict=False):
        table.add_row(
            str(release.number),
            release.champion.bundle_digest[:SHORT_DIGITS],
            release.champion.as_of,
            *([_challengers(release)] if has_challengers else []),
            escape(f"{release.released_at:%Y-%m-%d %H:%M:%S} by {release.released_by}"),
            escape(f"{kind_of(previous, release)}: {release.reason}"),
        )
    console.print(table)
    if freeze is not None:
        console.print(
            f"[yellow]Promotion is frozen[/] by {escape(f'{freeze.changed_by}: {freeze.reason}')}", soft_wrap=True
        )
    if rollback is not None:
        console.print(f"[yellow]Automatic promotion is on hold[/]: {escape(hold_text(rollback))}", soft_wrap=True)


def switches_document(store: ReleaseStore) -> dict[str, Any]:
    """What stops promotion in the whole store, as JSON types: the freeze, and the hold of each model that has one."""
    holds = {model: hold_document(store.switches.hold(store.history(model))) for model in _released_models(store)}
    return {
        "freeze": msgspec.to_builtins(store.switches.freeze_in_force()),
        "promotion_holds": {model: hold for model, hold in holds.items() if hold is not None},
    }


def switches_lines(store: ReleaseStore) -> list[str]:
    """What stops promotion in the whole store, a sentence each; empty if nothing does."""
    freeze = store.switches.freeze_in_force()
    rollbacks = [store.switches.hold(store.history(model)) for model in _released_models(store)]
    lines = [f"Promotion is frozen by {freeze.changed_by}: {freeze.reason}"] if freeze else []
    return lines + [f"Automatic promotion of {one.model} is on hold: {hold_text(one)}" for one in rollbacks if one]


def _released_models(store: ReleaseStore) -> list[str]:
    folder = store.root / "releases"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def kind_of(previous: Release | None, release: Release) -> str:
    """The kind of change from the previous release, in a word or two."""
    if release.restores is not None:
        return f"rollback to {release.restores}"
    if previous is None or previous.champion.bundle_digest != release.champion.bundle_digest:
        return "promotion"
    slot = "canary" if previous.canary != release.canary else "shadow"
    return f"{slot} ended" if getattr(release, slot) is None else slot


def _challengers(release: Release) -> str:
    """The canary with its share and the shadow, each digest on a line of its own in a narrow table."""
    canary, shadow = release.canary, release.shadow
    texts = [f"canary {canary.bundle_digest[:SHORT_DIGITS]} {_share(canary)}"] if canary else []
    texts += [f"shadow {shadow.bundle_digest[:SHORT_DIGITS]}"] if shadow else []
    return ", ".join(texts) or "-"


def _share(canary: SlotRelease) -> str:
    return "without a share" if canary.percent is None else f"{canary.percent:g} %"
