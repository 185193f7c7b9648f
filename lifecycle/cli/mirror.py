"""`lifecycle mirror`, and its run after each command that changes a release."""

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.options import AsJson, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    import dagster as dg

    from lifecycle.assets.resources import Stores
    from lifecycle.spec.risk_model import RiskModelSpec

TIMEOUT_SECONDS = 60.0
"""Time limit of the mirrors after a release command. They take seconds, because MLflow is slow to import."""


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("mirror")(mirror)


def mirror(
    model: Model,
    candidate: Annotated[
        str | None,
        typer.Option(help="Beginning of a candidate's digest: show its approvals and waivers instead of the release."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the release in force in MLflow (aliases) and in Dagster (asset `release`). Idempotent.

    With `--candidate`, show its approvals and waivers on its card in MLflow and on the asset `model_version`. Every
    command that changes a release, an approval or a waiver does this by itself. Run it by hand after an alert.
    """
    from lifecycle.assets.resources import Stores
    from lifecycle.spec.model_files import read_model

    stores = Stores()
    spec = read_model(model, stores.settings.profile)
    if candidate is not None:
        _mirror_candidate(spec, stores, candidate, as_json=as_json)
        return
    _mirror_release(spec, stores, as_json=as_json)


def _mirror_candidate(spec: "RiskModelSpec", stores: "Stores", prefix: str, *, as_json: bool) -> None:
    from lifecycle.assets.consent_pages import show_consents_in_dagster, show_consents_in_mlflow
    from lifecycle.releases.lookup import candidate_by_prefix

    digest = candidate_by_prefix(spec.name, prefix, stores.candidates(spec.name).dates())
    _mirrored(
        f"candidate {digest[:12]} of {spec.name}",
        stores,
        lambda: show_consents_in_mlflow(spec, stores, digest),
        lambda instance: show_consents_in_dagster(spec, stores, digest, instance),
    )
    document = {"model": spec.name, "candidate_digest": digest}
    text = f"MLflow and Dagster show the approvals and waivers of candidate {digest[:12]} of {spec.name}."
    typer.echo(json.dumps(document) if as_json else text)


def _mirror_release(spec: "RiskModelSpec", stores: "Stores", *, as_json: bool) -> None:
    from lifecycle.assets.mirror import mirror_in_dagster, mirror_in_mlflow
    from lifecycle.errors import LifecycleError

    model = spec.name
    release = stores.releases().latest(model)
    if release is None:
        raise LifecycleError(f"Expected a release of {model} to mirror, found none")
    _mirrored(
        f"release {release.number} of {model}",
        stores,
        lambda: mirror_in_mlflow(spec, stores),
        lambda instance: mirror_in_dagster(model, release, instance),
    )
    document = {"model": model, "release_number": release.number}
    text = f"MLflow and Dagster show release {release.number} of {model}."
    typer.echo(json.dumps(document) if as_json else text)


def _mirrored(
    what: str, stores: "Stores", in_mlflow: "Callable[[], None]", in_dagster: "Callable[[dg.DagsterInstance], None]"
) -> None:
    """Take both steps, also if one fails; raises `LifecycleError` with the faults."""
    import dagster as dg

    from lifecycle.assets.mirror import first_line
    from lifecycle.errors import LifecycleError

    faults = []
    try:
        with dg.DagsterInstance.from_config(str(stores.settings.dagster_home)) as instance:
            in_dagster(instance)
    except Exception as error:
        faults.append(f"Dagster: {first_line(error)}")
    try:
        in_mlflow()
    except Exception as error:
        faults.append(f"MLflow: {first_line(error)}")
    if faults:
        raise LifecycleError(f"Expected to mirror {what}, got {'; '.join(faults)}")


def mirror_after_release(model: str) -> None:
    """Run `lifecycle mirror` after a command that changed a release; as `_mirror_apart`."""
    _mirror_apart(model, None)


def mirror_after_consent(model: str, candidate_digest: str) -> None:
    """Run `lifecycle mirror --candidate` after an approval, a waiver or a withdrawal; as `_mirror_apart`."""
    _mirror_apart(model, candidate_digest)


def _mirror_apart(model: str, candidate: str | None) -> None:
    """Run `lifecycle mirror` in a process with a time limit; a failure is a warning and an alert, not an error.

    An installation that has neither MLflow's nor Dagster's folder has nothing to mirror.
    """
    from lifecycle.settings.child_environment import SETTINGS_PREFIX, child_environment
    from lifecycle.settings.platform import Settings

    settings = Settings()
    if not settings.mlflow_dir.exists() and not settings.dagster_home.exists():
        return
    sys.stdout.flush()
    command = [
        sys.executable,
        "-m",
        "lifecycle.cli",
        "mirror",
        model,
        *(() if candidate is None else ("--candidate", candidate)),
    ]
    try:
        ended = subprocess.run(
            command,
            env=child_environment(SETTINGS_PREFIX),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _warn(model, candidate, f"no end within {TIMEOUT_SECONDS:g} s")
    else:
        if ended.returncode != 0:
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            _warn(model, candidate, lines[-1] if lines else f"the process ended with {ended.returncode}")


def _warn(model: str, candidate: str | None, fault: str) -> None:
    import datetime as dt

    from lifecycle.monitoring.champions import registry_alert
    from lifecycle.releases.alert_log import raise_alert
    from lifecycle.settings.platform import Settings

    step = "Mirroring the release" if candidate is None else "Showing the approvals and waivers"
    alert = registry_alert(model, None, None, step, fault, dt.datetime.now(dt.UTC), candidate)
    done = "The release is in force." if candidate is None else "It is written and recorded."
    typer.echo(f"{done} {alert.message} {alert.remedy}", err=True)
    raise_alert(Settings(), alert)
