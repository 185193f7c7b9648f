"""State of the schedules and sensors, as the Dagster UI tells it."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx

from lifecycle.errors import LifecycleError

_QUERY = """
query Schedules {
  workspaceOrError {
    ... on Workspace {
      locationEntries { loadStatus locationOrLoadError { ... on PythonError { message causes { message } } } }
    }
  }
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        schedules { name state: scheduleState { ...State } }
        sensors { name state: sensorState { ...State } }
      }
    }
    ... on PythonError { message }
  }
}
fragment State on InstigationState { status ticks(limit: 1) { status timestamp } nextTick { timestamp } }
"""


class ScheduleStatus(NamedTuple):
    """One schedule or sensor; times are ISO texts in UTC, ``None`` without one."""

    name: str
    status: str
    last_result: str | None
    last_at: str | None
    next_at: str | None


def read_schedules(url: str) -> list[ScheduleStatus]:
    """Every schedule and sensor of a Dagster UI, by name.

    Raises
    ------
    LifecycleError
        If it does not answer, or its code location is not loaded.
    """
    try:
        response = httpx.post(f"{url}/graphql", json={"query": _QUERY}, timeout=30.0)
        answer: dict[str, Any] = response.json()["data"]
        _expect_loaded(answer["workspaceOrError"].get("locationEntries", []), url)
        found: dict[str, Any] = answer["repositoriesOrError"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise LifecycleError(
            f"Expected the Dagster UI, got {type(error).__name__}; start it with `lifecycle up`, or set "
            f"LIFECYCLE_DAGSTER_URL - at {url}"
        ) from error
    if "nodes" not in found:
        raise LifecycleError(f"Expected the schedules, got {found.get('message')} - at {url}")
    nodes = [node for repository in found["nodes"] for kind in ("schedules", "sensors") for node in repository[kind]]
    return sorted(_status(node) for node in nodes)


def schedule_lines(url: str) -> list[str]:
    """The schedules and sensors as lines of text."""
    return [
        f"{schedule.name:<32}{schedule.status.lower():<9}"
        + (f"last {schedule.last_result} {schedule.last_at}" if schedule.last_at else "not evaluated yet")
        + (f", next {schedule.next_at}" if schedule.next_at else "")
        for schedule in read_schedules(url)
    ]


def _expect_loaded(locations: Sequence[dict[str, Any]], url: str) -> None:
    """Raise unless every code location is loaded: the schedules of another one would be missing without a word."""
    for location in locations:
        error = location["locationOrLoadError"] or {}
        if "message" in error:
            fault = [error, *error["causes"]][-1]["message"]
            raise LifecycleError(
                f"Expected the code location to load, got: {fault.strip()}; `lifecycle check` names the fault of a "
                f"model's file - at {url}/locations"
            )
        if location["loadStatus"] != "LOADED":
            raise LifecycleError(f"Expected a loaded code location, it is loading; try again - at {url}/locations")


def _status(node: dict[str, Any]) -> ScheduleStatus:
    state = node["state"]
    last, following = next(iter(state["ticks"]), None), state["nextTick"]
    return ScheduleStatus(
        node["name"],
        state["status"],
        last["status"].lower() if last else None,
        _moment(last["timestamp"]) if last else None,
        _moment(following["timestamp"]) if following else None,
    )


def _moment(timestamp: float) -> str:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC).isoformat(timespec="seconds")
