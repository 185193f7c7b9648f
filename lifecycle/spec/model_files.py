"""The models' files: where they are, and reading one or all of them."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.suggestions import suggestion


def read_spec(path: Path, profile: str | None = None) -> RiskModelSpec:
    """Read a model's `defs.yaml`.

    Raises
    ------
    LifecycleError
        If the file is missing or invalid; the message names the file, the key and the expectation.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise LifecycleError(f"Expected a model specification, found no file - at {path}") from None
    except yaml.YAMLError as error:
        raise LifecycleError(f"Expected YAML, got: {error} - in {path}") from error
    attributes = document.get("attributes") if isinstance(document, dict) else None
    try:
        return RiskModelSpec.model_validate(attributes).with_profile(profile)
    except ValidationError as error:
        raise LifecycleError(f"{describe(error)} - in {path}") from error
    except ValueError as error:
        raise LifecycleError(f"{error} - in {path}") from error


def describe(error: ValidationError) -> str:
    """A validation error as text: the message and the key of each fault."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        message = fault["msg"].removeprefix("Value error, ")
        # A rule about several keys names them itself.
        has_key = not fault["loc"] and " - at `" in message
        key = ".".join(str(part) for part in fault["loc"]) or "attributes"
        lines.append(message if has_key else f"{message} - at `{key}`")
    return "; ".join(lines)


def model_files() -> list[Path]:
    """The file of every model of this code location."""
    return sorted((Path(__file__).parents[1] / "defs").glob("*/defs.yaml"))


def model_names() -> list[str]:
    """Names of the models' folders; reads no file, so that a broken one stops no command that needs none."""
    return [path.parent.name for path in model_files()]


def read_specs(profile: str | None = None) -> dict[str, RiskModelSpec]:
    """Every model of this code location by name."""
    specs = [read_spec(path, profile) for path in model_files()]
    return {spec.name: spec for spec in specs}


def read_model(name: str, profile: str | None = None) -> RiskModelSpec:
    """One model of this code location.

    Raises
    ------
    LifecycleError
        If there is no such model.
    """
    specs = read_specs(profile)
    if name not in specs:
        raise LifecycleError(f"Expected the name of a model, got {name!r}{suggestion(name, specs)}")
    return specs[name]
