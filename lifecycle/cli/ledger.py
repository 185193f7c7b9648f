"""Commands of the ledger: verify it offline, show a model's records, print the last checkpoint."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lifecycle.releases.ledger.records import Record
    from lifecycle.releases.ledger.verify import Verification
    from serving.artefacts.signatures import PublicKeys

app = typer.Typer(help="Verify and show the ledger of trainings, verdicts and releases.", no_args_is_help=True)
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of a release store, or a copy. Default: that of LIFECYCLE_HOME.")
]
Key = Annotated[
    Path | None, typer.Option("--key", help="PEM file with the trusted public keys. Default: that of LIFECYCLE_HOME.")
]
_DIGITS = 12


@app.command("verify")
def verify_command(
    key: Key = None,
    store: Store = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="File with a checkpoint that was kept elsewhere; the ledger must contain it."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Verify the ledger and the releases with public keys only. Exits with 1 and names the first bad record."""
    verification, keys = _verified(store, key, checkpoint or [])
    if as_json:
        typer.echo(json.dumps(_document(verification, keys)))
    else:
        _print(verification)
    if verification.problems:
        raise typer.Exit(1)


@app.command("show")
def show_command(
    model: Annotated[str, typer.Argument(help="Name of the model, for example card_fraud.")],
    store: Store = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the records of a model, and those of all models, oldest first. Reads them; does not verify them."""
    import msgspec

    from lifecycle.errors import LifecycleError
    from lifecycle.releases.ledger.reading import read_records
    from lifecycle.spec.suggestions import suggestion

    records = read_records(_store(store))
    names = {record.model for record in records if record.model is not None}
    if model not in names:
        raise LifecycleError(f"Expected a model that the ledger names, got {model!r}{suggestion(model, names)}")
    shown = [record for record in records if record.model in {model, None}]
    if as_json:
        typer.echo(json.dumps({"model": model, "records": msgspec.to_builtins(shown)}))
        return
    _print_records(model, shown)


@app.command("checkpoint")
def checkpoint_command(store: Store = None, *, as_json: AsJson = False) -> None:
    """Print the last checkpoint, to be kept elsewhere: it shows later that no record was removed."""
    from lifecycle.releases.ledger.reading import last_note

    note = last_note(_store(store))
    typer.echo(json.dumps({"checkpoint": note}) if as_json else note, nl=as_json)


def _store(store: Path | None) -> Path:
    from lifecycle.settings.platform import Settings

    return Settings().release_store if store is None else store


def _verified(store: Path | None, key: Path | None, saved: "Sequence[Path]") -> "tuple[Verification, PublicKeys]":
    from lifecycle.errors import LifecycleError
    from lifecycle.releases.ledger.against_releases import with_releases
    from lifecycle.releases.ledger.verify import verify_ledger
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import PUBLIC_KEY_FILE
    from serving.artefacts.signatures import read_public_keys
    from serving.contract.documents import ContractError

    folder = _store(store)
    try:
        if not folder.is_dir():
            raise LifecycleError(f"Expected a release store, found no folder - at {folder}")
        keys = read_public_keys(key or Settings().keys_dir / PUBLIC_KEY_FILE)
        notes = [path.read_text() for path in saved]
        return with_releases(verify_ledger(folder, keys, notes), folder, keys), keys
    except (ContractError, UnicodeDecodeError) as error:
        raise LifecycleError(str(error)) from error
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise LifecycleError(f"Expected a readable file, got {cause} - at {error.filename}") from error


def _document(verification: "Verification", keys: "PublicKeys") -> dict[str, Any]:
    from dataclasses import asdict

    from lifecycle.releases.ledger.notes import verifier_keys

    head, origin = verification.head, verification.origin
    return {
        "is_verified": not verification.problems,
        "origin": origin,
        "records": head.size if head else None,
        "root": head.root.hex() if head else None,
        "problems": [asdict(problem) for problem in verification.problems],
        "notices": list(verification.notices),
        "checkpoint": verification.last_note,
        "verifier_keys": verifier_keys(origin, keys) if origin else [],
    }


def _print(verification: "Verification") -> None:
    head = verification.head
    for problem in verification.problems:
        typer.echo(f"{problem.damage}: {problem.message}")
    for notice in verification.notices:
        typer.echo(f"Notice: {notice}")
    if verification.problems:
        first = verification.problems[0].sequence
        where = f"from record {first} on" if first else "in the releases"
        typer.echo(f"Not verified: {len(verification.problems)} found, {where}. Restore the release store's folder.")
    elif head is None:
        typer.echo("No ledger yet: the next training, verdict or release begins one.")
    else:
        last = verification.records[-1]
        typer.echo(
            f"Verified: {head.size} records up to {last.recorded_at:%Y-%m-%d %H:%M:%S} UTC, root {head.root.hex()}"
        )


def _print_records(model: str, records: "Sequence[Record]") -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Ledger of {model}")
    table.add_column("no.", justify="right", no_wrap=True)
    for name in ("recorded (UTC)", "kind", "by", "digests", "facts"):
        table.add_column(name, overflow="fold")
    for record in records:
        table.add_row(
            str(record.sequence),
            f"{record.recorded_at:%Y-%m-%d %H:%M:%S}",
            record.kind,
            escape(f"{record.actor.kind} {record.actor.name}"),
            escape(", ".join(f"{name} {digest[:_DIGITS]}" for name, digest in record.subjects.items())),
            escape(_facts(record)),
        )
    console = output()
    console.print(table)
    console.print("Read, not verified: `lifecycle ledger verify` verifies the whole ledger.", soft_wrap=True)


def _facts(record: "Record") -> str:
    if record.kind == "gates":
        from lifecycle.gates.outcomes import overall_text
        from lifecycle.releases.ledger.events import recorded_verdicts

        verdicts = recorded_verdicts(record)
        blocks = not all(verdict.is_passed for verdict in verdicts)
        text = overall_text(verdicts) if blocks else f"passed {len(verdicts)} gates"
        return f"{text} as of {record.facts['as_of']}"
    if record.kind == "genesis":
        taken = sum(len(digests) for digests in record.facts["releases"].values())
        return f"begins the ledger, takes in {taken} releases"
    return ", ".join(f"{name} {value}" for name, value in record.facts.items())
