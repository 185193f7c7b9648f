"""`lifecycle new-model`: the folder of a new model."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lifecycle.cli.options import AsJson
from lifecycle.console import output


class OriginName(StrEnum):
    """The example that a model begins with."""

    CARD = "card"
    CREDIT = "credit"
    BLANK = "blank"


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("new-model")(new_model_command)


def new_model_command(
    name: Annotated[str, typer.Argument(help="Name of the model and of its folder.")],
    origin: Annotated[
        OriginName,
        typer.Option(
            "--from",
            help="card: a further model of the shipped card transactions. credit: a credit portfolio with labels in a "
            "column and decisions by cut-offs. blank: the least that a model needs.",
        ),
    ] = OriginName.BLANK,
    models: Annotated[
        Path | None, typer.Option(help="Folder of the models. Default: LIFECYCLE_MODELS; the shipped one is refused.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a model's file, its raw tables and mart, and a README that leads to a served decision."""
    from lifecycle.errors import LifecycleError
    from lifecycle.local.new_model import write_new_model
    from lifecycle.settings.platform import SHIPPED_MODELS, Settings

    folder = models or Settings().models
    if folder.resolve() == SHIPPED_MODELS.resolve():
        raise LifecycleError(
            f"Expected a folder of your own, got that of the shipped models; set LIFECYCLE_MODELS to it - at {folder}"
        )
    written = write_new_model(name, origin.value, folder)
    if as_json:
        typer.echo(json.dumps({"model": name, "files": [str(path) for path in written]}))
        return
    output().print(f"{len(written)} files in {escape(str(folder / name))}:", soft_wrap=True)
    for path in written:
        output().print(f"  {escape(str(path.relative_to(folder / name)))}", soft_wrap=True)
    guide = escape(str(folder / name / "README.md"))
    output().print(f"Next: adapt defs.yaml, then run `lifecycle check`. {guide} leads on.", soft_wrap=True)
