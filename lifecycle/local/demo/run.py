"""Runs the demonstration and prints its results."""

import contextlib
import datetime as dt
import json
import os
import sys
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from rich.text import Text

from lifecycle.local.dagster_api import DagsterApi
from lifecycle.local.demo.picture import recall_timeline, write_picture
from lifecycle.local.demo.report import Phase, phases, phases_table
from lifecycle.local.demo.screen import Screen
from lifecycle.local.demo.state import DemoState, StateFile
from lifecycle.local.demo.story import Story
from lifecycle.local.installation import addresses, start_services
from lifecycle.local.processes import Ports, Running
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec


def run_demo(
    ports: Ports,
    model: str,
    seed: int,
    *,
    is_left_running: bool,
    is_first_decision_enough: bool = False,
    as_json: bool = False,
) -> bool:
    """Run the steps that are not done yet, show their results, and stop everything at the end.

    With `as_json`, the result is printed as JSON on standard output, and everything else on standard error. With
    Snowflake as the target and no account in the environment, a local endpoint is started.

    Returns
    -------
    bool
        Whether every request succeeded.

    Raises
    ------
    LifecycleError
        If a step fails; the next start resumes with it.
    """
    screen = Screen(Console(stderr=True) if as_json else None)
    try:
        with contextlib.ExitStack() as stack:
            if _wants_local_endpoint(Settings()):
                with screen.step("Start the local Snowflake endpoint"):
                    _start_local_endpoint(stack, Settings().root)
            settings = Settings()
            spec = read_model(model, settings.profile)
            file = StateFile(settings.root)
            with screen.step("Start the Dagster UI and its daemon, the MLflow UI and the server"):
                services = stack.enter_context(start_services(settings, ports))
            stack.callback(screen.note, "Stopping what was started")
            state = file.open(seed, dt.datetime.now(dt.UTC).date(), settings.target)
            story = _story(settings, spec, state, file, ports, services, screen)
            if is_first_decision_enough:
                story.first_decision()
                if as_json:
                    _print_document(state, ports, [], None)
                return True
            story.run()
            measured = phases(story.warehouse, spec, story.days, state)
            picture = _draw(story, spec, state, measured)
            if as_json:
                _print_document(state, ports, measured, picture)
            else:
                _show(story, spec, state, measured, picture, ports, screen)
            if is_left_running:
                screen.note("Ctrl-C stops everything; the next `make demo` prints this again")
                services.watch()
    except KeyboardInterrupt:
        screen.console.print("Stopped; the next `make demo` resumes here")
        return False
    return state.requests_failed + state.reload_requests_failed == 0


def _wants_local_endpoint(settings: Settings) -> bool:
    return settings.target == "snowflake" and settings.snowflake.account is None


def _start_local_endpoint(stack: contextlib.ExitStack, root: Path) -> None:
    """Start the endpoint, which enforces privileges as an account does, and point the environment at it."""
    from lifecycle.local import snowflake as local_snowflake

    endpoint = stack.enter_context(local_snowflake.running(root / "local_snowflake", arguments=("--enforce",)))
    os.environ.update(endpoint.environment())


def _story(
    settings: Settings,
    spec: RiskModelSpec,
    state: DemoState,
    file: StateFile,
    ports: Ports,
    services: Running,
    screen: Screen,
) -> Story:
    urls = addresses(ports)
    return Story(settings, spec, state, file, DagsterApi(urls["Dagster UI"]), urls["Scoring API"], services, screen)


def _draw(story: Story, spec: RiskModelSpec, state: DemoState, measured: list[Phase]) -> Path:
    """Draw the recall by day below the home."""
    timeline = recall_timeline(story.warehouse, spec, story.days, state, measured)
    return write_picture(timeline, spec.decision.review_capacity, story.settings.reports_dir / "demo")


def _print_document(state: DemoState, ports: Ports, measured: list[Phase], picture: Path | None) -> None:
    """Print the same as JSON: a list element for each phase; before the last step neither phases nor a picture."""
    requests = {name: value for name, value in msgspec.to_builtins(state).items() if "requests" in name}
    shown = str(picture) if picture else None
    document = {"phases": measured, **requests, "addresses": addresses(ports), "picture": shown}
    sys.stdout.write(f"{msgspec.json.encode(document).decode()}\n")
    sys.stdout.flush()


def _show(
    story: Story,
    spec: RiskModelSpec,
    state: DemoState,
    measured: list[Phase],
    picture: Path,
    ports: Ports,
    screen: Screen,
) -> None:
    """Print recall before, during and after, requests, addresses and a request to try."""
    screen.table(phases_table(measured, spec.decision.review_capacity))
    screen.console.print(f"Picture of the recall: {picture}", soft_wrap=True)
    screen.console.print(
        f"Requests: {state.requests_sent:,} sent, [bold]{state.requests_failed} failed[/]. Over the reload: "
        f"{state.reload_requests_sent:,} sent, [bold]{state.reload_requests_failed} failed[/].",
        soft_wrap=True,
    )
    urls = addresses(ports)
    keys = story.keys
    looks = [
        (urls["Dagster UI"] + f"/assets/{spec.name}/candidate", "why the candidates passed: metrics, plots, verdicts"),
        (urls["Dagster UI"] + f"/assets/{spec.name}/drift", "the verdict that started the retraining"),
        (urls["Dagster UI"] + "/runs", f"every run; {keys.retrain_job} twice, the second one by the sensor"),
        (urls["MLflow UI"] + f"/#/models/{spec.name}", "both registered versions"),
        (urls["Scoring API"] + f"/v1/models/{spec.name}", "the release that decides, its inputs"),
    ]
    for url, what in looks:
        screen.console.print(f"  [cyan]{url}[/]  {what}", soft_wrap=True)
    screen.console.print("Score a transaction yourself:")
    screen.console.print(Text(curl_line(urls["Scoring API"], spec.name)), soft_wrap=True)


def curl_line(url: str, model: str) -> str:
    """A command that scores the server's own example."""
    example = httpx.get(f"{url}/v1/models/{model}", timeout=5.0).json()["example"]
    return f"  curl -s {url}/v1/models/{model}/score -d '{json.dumps(example)}'"
