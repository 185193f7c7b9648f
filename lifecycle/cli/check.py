"""`lifecycle check`: the models' files, without a warehouse."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lifecycle.cli.options import AsJson
from lifecycle.console import output


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("check")(check_command)


def check_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files `defs.yaml` to check. Default: every model of this installation.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check models' files, with each of their profiles, and the columns of their marts."""
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.mart_contract import check_columns
    from lifecycle.spec.model_files import model_files, read_spec

    project = Settings().dbt_project_dir
    valid: list[dict[str, object]] = []
    for file in files or model_files():
        spec = read_spec(file)
        for profile in (None, *spec.profiles):
            check_columns(read_spec(file, profile), project, str(file))
        valid.append({"model": spec.name, "features": len(spec.features), "profiles": [*spec.profiles]})
        if as_json:
            continue
        profiles = f", profiles {', '.join(spec.profiles)}" if spec.profiles else ""
        output().print(f"{spec.name}: valid, {len(spec.features)} features{escape(profiles)}", soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(valid))
