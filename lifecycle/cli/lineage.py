"""`lifecycle lineage`: what an artefact was made from, and what was made from it."""

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.tree import Tree

    from lifecycle.local.audit.lineage import Lineage, Part, Served

_DIGITS = 12


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lineage)


def lineage(
    digest: Annotated[
        str,
        typer.Argument(
            help="Digest of a bundle, a candidate, a training set, a release's file, a specification or verdicts, or "
            "its unique beginning."
        ),
    ],
    *,
    has_decisions: Annotated[
        bool,
        typer.Option("--decisions/--no-decisions", help="Read the decision log for the first and last decisions."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Show what an artefact was made from and what was made from it: from the mart to the last decision.

    Reads lineage documents and the ledger, and invents nothing: what no document records is named as unknown. Verifies
    signatures of manifests and releases; `lifecycle ledger verify` verifies the ledger.
    """
    from lifecycle.local.audit.lineage import lineage_of, plain
    from lifecycle.settings.platform import Settings

    found = lineage_of(Settings(), digest, has_decisions=has_decisions)
    if as_json:
        typer.echo(json.dumps(plain(found), indent=2))
        return
    _print(found)


def _print(found: "Lineage") -> None:
    from rich.markup import escape
    from rich.tree import Tree

    console = output()
    root = Tree(_title(found.kind, found.digest, "", found.facts))
    _add_notes(root, found.notes)
    above, below = root.add("made from"), root.add("made from it")
    for title, branch, parts in (("nothing recorded", above, found.made_from), ("nothing yet", below, found.made)):
        _add(branch, parts)
        if not parts:
            branch.add(title)
    served = root.add("decisions served")
    for one in found.served or ():
        served.add(escape(_served_text(one)))
    if not found.served:
        served.add("the decision log was not read" if found.served is None else "none in the decision log")
    console.print(root)
    for note in found.unread:
        console.print(f"[yellow]Not read:[/] {escape(note)}", soft_wrap=True)


def _add(branch: "Tree", parts: "Sequence[Part]") -> None:
    for part in parts:
        below = branch.add(_title(part.kind, part.digest, part.label, part.facts))
        _add_notes(below, part.notes)
        _add(below, part.parts)


def _add_notes(branch: "Tree", notes: "Sequence[str]") -> None:
    from rich.markup import escape

    for note in notes:
        branch.add(f"[yellow]note:[/] {escape(note)}")


def _title(kind: str, digest: str, label: str, facts: "Mapping[str, Any]") -> str:
    from rich.markup import escape

    told = ", ".join(f"{name} {_text(value)}" for name, value in facts.items())
    name = digest if kind == "mart" else digest[:_DIGITS]
    slot = f"{label} of " if label else ""
    return f"{slot}[bold]{kind}[/] {escape(name)}{escape(f' ({told})') if told else ''}"


def _text(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, dt.datetime) else str(value)


def _served_text(served: "Served") -> str:
    return (
        f"release {served.release_number}, {served.slot} {served.bundle_digest[:_DIGITS]}: {served.decisions:,} from "
        f"{served.first:%Y-%m-%d %H:%M:%S} to {served.last:%Y-%m-%d %H:%M:%S}"
    )
