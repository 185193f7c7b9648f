"""The models' files: where they are, and reading one or all of them.

A folder of models, ``LIFECYCLE_MODELS``, has a folder for each model with its `defs.yaml`. A file that cannot be used
leaves out its own model and no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.arrivals import arrival_in
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.mart_contract import check_columns
from lifecycle.spec.protected_tables import check_protected
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.suggestions import suggestion
from lifecycle.spec.yaml_faults import DuplicateKeyError, YamlFile, describe, with_lines

MODEL_FILE = "defs.yaml"
COMPONENT = "lifecycle.components.risk_model.RiskModel"
"""What a model's file names as its Dagster component."""
ATTRIBUTES = "attributes"
"""Key of the file under which the model is; the other keys are Dagster's."""


@dataclass(frozen=True)
class FaultyModel:
    """A model whose file cannot be used: the folder's name, the file, and what is wrong with it."""

    name: str
    path: Path
    message: str


@dataclass(frozen=True)
class Models:
    """All models: the usable ones by name, and the others."""

    valid: Mapping[str, RiskModelSpec]
    faulty: tuple[FaultyModel, ...]


def read_spec(path: Path, profile: str | None = None) -> RiskModelSpec:
    """Read a model's `defs.yaml`.

    Raises
    ------
    LifecycleError
        If the file is missing or invalid; the message names the file, the key and the expectation.
    """
    try:
        file = YamlFile(path.read_text())
    except FileNotFoundError:
        raise LifecycleError(f"Expected a model specification, found no file - at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LifecycleError(f"Expected a readable text file, got: {error} - at {path}") from error
    except DuplicateKeyError as error:
        raise LifecycleError(f"{error} - in {path}") from error
    except yaml.YAMLError as error:
        raise LifecycleError(f"Expected YAML, got: {error} - in {path}") from error
    attributes = file.document.get(ATTRIBUTES) if isinstance(file.document, dict) else None
    try:
        spec = RiskModelSpec.model_validate(attributes)
    except ValidationError as error:
        raise LifecycleError(f"{describe(error, RiskModelSpec, file, [ATTRIBUTES])} - in {path}") from error
    try:
        return spec.with_profile(profile)
    except ValidationError as error:
        above = [ATTRIBUTES, "profiles", str(profile)]
        fault = describe(error, RiskModelSpec, file, above)
        raise LifecycleError(f"With the profile {profile}: {fault} - in {path}") from error


def file_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a model's file."""
    model = RiskModelSpec.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Risk model",
        "type": "object",
        "required": ["type", ATTRIBUTES],
        "properties": {"type": {"const": COMPONENT}, ATTRIBUTES: {"$ref": "#/$defs/RiskModelSpec"}},
        "$defs": model.pop("$defs") | {"RiskModelSpec": model},
    }


def model_files(settings: Settings | None = None) -> list[Path]:
    """The file of every model of an installation.

    Raises
    ------
    LifecycleError
        If the folder of models does not exist.
    """
    folder = (settings or Settings()).models
    if not folder.is_dir():
        raise LifecycleError(f"Expected a folder of models, found none; see LIFECYCLE_MODELS - at {folder}")
    return sorted(folder.glob(f"*/{MODEL_FILE}"))


def model_names() -> list[str]:
    """Names of the models' folders; reads no file, so that a broken one stops no command that needs none."""
    return [path.parent.name for path in model_files()]


def only_model() -> str:
    """Name of the installation's model, for a command that names none.

    Raises
    ------
    LifecycleError
        If there are several, or none.
    """
    names = model_names()
    if len(names) == 1:
        return names[0]
    raise LifecycleError(f"Expected the name of a model, of {', '.join(names) or 'none'}, got none - at --model")


def read_models(settings: Settings) -> Models:
    """Every model in the active profile; a file that is invalid, or does not fit its mart, is among the faulty ones.

    Raises
    ------
    LifecycleError
        If no usable model has the active profile.
    """
    valid: dict[str, RiskModelSpec] = {}
    faulty: list[FaultyModel] = []
    for path in model_files(settings):
        try:
            valid[path.parent.name] = read_checked(path, settings.profile, dbt_projects(settings))
        except LifecycleError as error:
            faulty.append(FaultyModel(path.parent.name, path, str(error)))
    found = Models(valid, tuple(faulty))
    if valid:
        _expect_profile_of(settings.profile, found)
    return found


def read_specs(profile: str | None = None) -> dict[str, RiskModelSpec]:
    """Every model of this installation by name, for what must leave none out.

    Raises
    ------
    LifecycleError
        If any file is invalid.
    """
    specs = {path.parent.name: _read_named(path, profile) for path in model_files()}
    _expect_profile(profile, specs)
    return specs


def read_model(name: str, profile: str | None = None) -> RiskModelSpec:
    """One model of this installation; the other models' files are not read.

    Raises
    ------
    LifecycleError
        If there is no such model, its file is invalid, or neither it nor another model has the profile.
    """
    files = {path.parent.name: path for path in model_files()}
    if name not in files:
        raise LifecycleError(f"Expected the name of a model, got {name!r}{suggestion(name, files)}")
    spec = _read_named(files[name], profile)
    if profile is not None and profile not in spec.profiles:
        _expect_profile_of(profile, read_models(Settings()))
    return spec


def read_checked(path: Path, profile: str | None, projects: Sequence[Path]) -> RiskModelSpec:
    """A model whose mart and outcomes have every column that its file names, and whose examples' raw table is declared.

    Raises
    ------
    LifecycleError
        If the file is invalid, or names a column, a dbt model or a raw table that does not exist.
    """
    spec = _read_named(path, profile)
    if spec.training.estimator.external is not None:
        from lifecycle.spec.external_files import read_external

        try:
            read_external(path.parent / spec.training.estimator.external.file, spec.contract_features)
        except LifecycleError as error:
            message = f"{error} - at `training.estimator.external.file`"
            raise LifecycleError(f"{with_file_lines(message, path)} - in {path}") from error
    try:
        check_columns(spec, projects, str(path))
        arrival_in(spec, projects)
        check_protected(spec, projects)
    except LifecycleError as error:
        message = with_file_lines(str(error), path)
        raise LifecycleError(message if str(path) in message else f"{message} - in {path}") from error
    return spec


def with_file_lines(message: str, path: Path) -> str:
    """The message with the line of each key that it names."""
    return with_lines(message, YamlFile(path.read_text()), [ATTRIBUTES])


def _read_named(path: Path, profile: str | None) -> RiskModelSpec:
    """The model of a file, which has the name of its folder, so that two models never have the same."""
    spec = read_spec(path, profile)
    if spec.name != path.parent.name:
        message = f"Expected the name of the model's folder, {path.parent.name!r}, got {spec.name!r} - at `name`"
        raise LifecycleError(f"{with_file_lines(message, path)} - in {path}")
    return spec


def _expect_profile_of(profile: str | None, models: Models) -> None:
    """As `_expect_profile`, unless a faulty file may have the profile: its fault must not take the others down."""
    if profile is None or not any(_may_have(model.path, profile) for model in models.faulty):
        _expect_profile(profile, models.valid)


def _may_have(path: Path, profile: str) -> bool:
    """Whether a faulty file has a profile, or cannot tell."""
    try:
        attributes = YamlFile(path.read_text()).document[ATTRIBUTES]
        return profile in attributes.get("profiles", {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return True


def _expect_profile(profile: str | None, specs: Mapping[str, RiskModelSpec]) -> None:
    """A profile that no model has is a typing error, not a choice: without it the models would run in production."""
    known = sorted({name for spec in specs.values() for name in spec.profiles})
    if profile is not None and profile not in known:
        raise LifecycleError(f"Expected one of the models' profiles {known}, got {profile!r} - at LIFECYCLE_PROFILE")
