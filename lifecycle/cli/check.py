"""`lifecycle check`: the models' files, and what the data of their marts say about them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lifecycle.cli.options import AsJson
from lifecycle.console import output

if TYPE_CHECKING:
    from lifecycle.spec.risk_model import RiskModelSpec

EXAMPLES_COMPARED = 1000
"""Examples of the mart's last day whose derived features are computed again."""


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("check")(check_command)


def check_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names of models, or files `defs.yaml`. Default: every model of this installation."),
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
    data: Annotated[
        bool | None,
        typer.Option(
            "--data/--no-data",
            help="Compare each model with its built mart: windows with the history, capacity with the traffic, "
            "features that are null, constant or out of range. Default: if the warehouse is this home's own file.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check models' files, with each of their profiles, their marts' columns and data, dbt packages and raw tables.

    Exits with 1 if one is faulty.
    """
    from lifecycle.features.usable_models import known_models
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import file_schema, model_files

    if schema:
        typer.echo(json.dumps(file_schema(), indent=2))
        return
    own = {path.parent.name: path for path in model_files()}
    left_out = {model.name: model for model in known_models(Settings()).faulty}
    documents: list[dict[str, object]] = []
    for file in [_file_of(model, own) for model in models] if models else own.values():
        also = left_out.pop(file.parent.name, None) if file in own.values() else None
        documents.append(_document(file, also.message if also else None, is_data=data))
    if not models:
        documents += [{"model": name, "file": str(of.path), "fault": of.message} for name, of in left_out.items()]
    if as_json:
        typer.echo(json.dumps(documents))
    else:
        _show(documents)
    if any("fault" in document for document in documents):
        raise typer.Exit(1)


def _document(file: Path, also: str | None, *, is_data: bool | None) -> dict[str, object]:
    """What is found about a model's file; `also` is a fault that is known of it."""
    from lifecycle.errors import LifecycleError

    faults = [also] if also else []
    try:
        spec = _checked(file, is_data=is_data)
    except LifecycleError as error:
        if not any(str(error) in fault for fault in faults):
            faults.insert(0, str(error))
    if faults:
        return {"model": file.parent.name, "file": str(file), "fault": "; ".join(faults)}
    return {"model": spec.name, "features": len(spec.features), "profiles": [*spec.profiles]}


def _show(documents: list[dict[str, Any]]) -> None:
    """The valid models first, then the faulty ones."""
    for document in sorted(documents, key=lambda document: "fault" in document):
        name = escape(document["model"])
        if "fault" in document:
            output().print(f"[bold red]{name}: faulty.[/] {escape(document['fault'])}", soft_wrap=True)
            continue
        profiles = f", profiles {', '.join(document['profiles'])}" if document["profiles"] else ""
        output().print(f"{name}: valid, {document['features']} features{escape(profiles)}", soft_wrap=True)


def _file_of(model: str, files: Mapping[str, Path]) -> Path:
    """The file of a model's name, or the file itself."""
    from lifecycle.errors import LifecycleError
    from lifecycle.spec.suggestions import suggestion

    if model in files:
        return files[model]
    if Path(model).suffix or Path(model).exists():
        return Path(model)
    raise LifecycleError(f"Expected the name of a model, or a file, got {model!r}{suggestion(model, files)}")


def _checked(file: Path, *, is_data: bool | None) -> "RiskModelSpec":
    """The model of a file that is valid with each of its profiles, and fits the data of its mart."""
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.dbt_projects import dbt_projects
    from lifecycle.spec.model_files import read_checked

    settings = Settings()
    projects = dbt_projects(settings)
    spec = read_checked(file, None, projects)
    for profile in spec.profiles:
        read_checked(file, profile, projects)
    if is_data if is_data is not None else settings.target == "duckdb" and settings.warehouse_path.exists():
        _expect_data(spec.with_profile(settings.profile), file)
    return spec


def _expect_data(spec: "RiskModelSpec", file: Path) -> None:
    from lifecycle.errors import LifecycleError
    from lifecycle.gates.model_against_data import data_faults
    from lifecycle.modelling.derived_check import check_derived
    from lifecycle.modelling.training_set import examples_from_table
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import with_file_lines
    from lifecycle.warehouse import open_warehouse
    from lifecycle.warehouse.reading.examples import last_examples
    from lifecycle.warehouse.reading.mart_profile import mart_profile

    warehouse = open_warehouse(Settings())
    try:
        # One session, or each query would open the file again.
        with warehouse.session("checking a model's data"):
            profile = mart_profile(warehouse, spec)
            faults = data_faults(spec, profile) if profile else []
            if faults:
                raise LifecycleError("; ".join(faults))
            if profile and spec.has_derived_features:
                table = last_examples(warehouse, spec, profile.last_day, EXAMPLES_COMPARED)
                check_derived(spec, examples_from_table(table, spec), "the mart")
    except LifecycleError as error:
        raise LifecycleError(f"{with_file_lines(str(error), file)} - in {file}") from error
