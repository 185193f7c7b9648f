"""Models whose dbt package can be built, and whatever is left out, by name."""

from collections.abc import Mapping
from dataclasses import replace

from lifecycle.features.manifest import ensure_project, known_project
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.declarations import declarations
from lifecycle.spec.model_files import MODEL_FILE, FaultyModel, Models, read_models
from lifecycle.spec.package_faults import packages, quick_faults
from lifecycle.spec.ref_graph import ref_graph


def usable_models(settings: Settings) -> Models:
    """Every model; those whose mart reads a package that dbt cannot parse are among the faulty ones.

    Raises
    ------
    LifecycleError
        If dbt cannot parse the shipped project.
    """
    return _without(settings, read_models(settings), ensure_project(settings).left_out)


def known_models(settings: Settings) -> Models:
    """As `usable_models`, without dbt: what it said when it last parsed these files, and what shows without it."""
    project = known_project(settings)
    return _without(settings, read_models(settings), project.left_out if project else quick_faults(settings))


def _without(settings: Settings, models: Models, left_out: Mapping[str, str]) -> Models:
    graph = ref_graph(dbt_projects(settings))
    folders = {package.name: package.folder for package in packages(settings)}
    faulty = [
        replace(model, message=f"{model.message}; {left_out[model.name]}") if model.name in left_out else model
        for model in models.faulty
    ]
    for name, spec in models.valid.items():
        files = {graph.models[model].path for relation in spec.relations for model in graph.upstream(relation)}
        reasons = [
            message
            for package, message in left_out.items()
            if package == name or any(file.is_relative_to(folders[package]) for file in files)
        ]
        if reasons:
            faulty.append(FaultyModel(name, settings.models / name / MODEL_FILE, "; ".join(reasons)))
    named = {model.name for model in faulty}
    faulty += [FaultyModel(name, folders[name], text) for name, text in left_out.items() if name not in named]
    faulty += [
        FaultyModel(f"raw_{fault.table or fault.path.stem}", fault.path, fault.message)
        for fault in declarations(settings).faulty
    ]
    left = {model.name for model in faulty}
    valid = {name: spec for name, spec in models.valid.items() if name not in left}
    return replace(models, valid=valid, faulty=tuple(faulty))
