"""`lifecycle check`: the models' files, without a warehouse."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from lifecycle.spec.risk_model import RiskModelSpec


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("check")(check_command)


def check_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files `defs.yaml` to check. Default: every model of this installation.")
    ] = None,
    *,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            help="Print the JSON schema of a model's file instead. An editor with a YAML language server completes and "
            "checks a file whose first line is `# yaml-language-server: $schema=FILE`.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check models' files, with each of their profiles, their marts' columns, dbt packages and raw tables.

    Exits with 1 if one is faulty.
    """
    from lifecycle.errors import LifecycleError
    from lifecycle.features.usable_models import known_models
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import file_schema, model_files

    if schema:
        typer.echo(json.dumps(file_schema(), indent=2))
        return
    documents: list[dict[str, object]] = []
    left_out = {} if files else {model.name: model for model in known_models(Settings()).faulty}
    for file in files or model_files():
        try:
            spec = _checked(file)
            if spec.name in left_out:
                raise LifecycleError(left_out.pop(spec.name).message)
        except LifecycleError as error:
            also = left_out.pop(file.parent.name, None)
            fault = also.message if also and str(error) in also.message else str(error)
            documents.append({"model": file.parent.name, "file": str(file), "fault": fault})
            continue
        documents.append({"model": spec.name, "features": len(spec.features), "profiles": [*spec.profiles]})
        if not as_json:
            profiles = f", profiles {', '.join(spec.profiles)}" if spec.profiles else ""
            output().print(f"{spec.name}: valid, {len(spec.features)} features{escape(profiles)}", soft_wrap=True)
    documents += [{"model": name, "file": str(of.path), "fault": of.message} for name, of in left_out.items()]
    if as_json:
        typer.echo(json.dumps(documents))
    for document in () if as_json else documents:
        if "fault" in document:
            name, fault = str(document["model"]), str(document["fault"])
            output().print(f"[bold red]{escape(name)}: faulty.[/] {escape(fault)}", soft_wrap=True)
    if any("fault" in document for document in documents):
        raise typer.Exit(1)


def _checked(file: Path) -> "RiskModelSpec":
    """The model of a file that is valid with each of its profiles."""
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.dbt_projects import dbt_projects
    from lifecycle.spec.model_files import read_checked

    projects = dbt_projects(Settings())
    spec = read_checked(file, None, projects)
    for profile in spec.profiles:
        read_checked(file, profile, projects)
    return spec
