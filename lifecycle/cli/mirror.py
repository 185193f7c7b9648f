"""`lifecycle mirror`, and its run after each command that changes a release."""

import json
import subprocess
import sys

import typer

from lifecycle.cli.options import AsJson, Model

TIMEOUT_SECONDS = 60.0
"""Time limit of the mirrors after a release command. They take seconds, because MLflow is slow to import."""


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("mirror")(mirror)


def mirror(
    model: Model,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the release in force in MLflow (aliases) and in Dagster (asset `release`). Idempotent.

    Every command that changes a release does this by itself. Run it by hand after an alert.
    """
    import dagster as dg

    from lifecycle.assets.mirror import first_line, mirror_in_dagster, mirror_in_mlflow
    from lifecycle.assets.resources import Stores
    from lifecycle.errors import LifecycleError
    from lifecycle.spec.model_files import read_model

    stores = Stores()
    spec = read_model(model, stores.settings.profile)
    release = stores.releases().latest(model)
    if release is None:
        raise LifecycleError(f"Expected a release of {model} to mirror, found none")
    faults = []
    try:
        with dg.DagsterInstance.from_config(str(stores.settings.dagster_home)) as instance:
            mirror_in_dagster(model, release, instance)
    except Exception as error:
        faults.append(f"Dagster: {first_line(error)}")
    try:
        mirror_in_mlflow(spec, stores)
    except Exception as error:
        faults.append(f"MLflow: {first_line(error)}")
    if faults:
        raise LifecycleError(f"Expected to mirror release {release.number} of {model}, got {'; '.join(faults)}")
    document = {"model": model, "release_number": release.number}
    text = f"MLflow and Dagster show release {release.number} of {model}."
    typer.echo(json.dumps(document) if as_json else text)


def mirror_after_release(model: str) -> None:
    """Run `lifecycle mirror` in a process with a time limit; a failure is a warning and an alert, not an error.

    An installation that has neither MLflow's nor Dagster's folder has nothing to mirror.
    """
    from lifecycle.settings.child_environment import SETTINGS_PREFIX, child_environment
    from lifecycle.settings.platform import Settings

    settings = Settings()
    if not settings.mlflow_dir.exists() and not settings.dagster_home.exists():
        return
    sys.stdout.flush()
    command = [sys.executable, "-m", "lifecycle.cli", "mirror", model]
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
        _warn(model, f"no end within {TIMEOUT_SECONDS:g} s")
    else:
        if ended.returncode != 0:
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            _warn(model, lines[-1] if lines else f"the process ended with {ended.returncode}")


def _warn(model: str, fault: str) -> None:
    import datetime as dt

    from lifecycle.monitoring.champions import registry_alert
    from lifecycle.releases.alert_log import raise_alert
    from lifecycle.settings.platform import Settings

    alert = registry_alert(model, None, None, "Mirroring the release", fault, dt.datetime.now(dt.UTC))
    typer.echo(f"The release is in force. {alert.message} {alert.remedy}", err=True)
    raise_alert(Settings(), alert)
