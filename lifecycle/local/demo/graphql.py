"""Launching and watching Dagster runs over the UI's own GraphQL interface."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from lifecycle.errors import LifecycleError

LOCATION = "lifecycle"
REPOSITORY = "__repository__"
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
  }
}"""
_RUNS = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 50) {
    __typename
    ... on Runs { results { runId status tags { key value } } }
    ... on PythonError { message }
  }
}"""
_EVENTS = """
query Events($runId: ID!) {
  logsForRun(runId: $runId) {
    __typename
    ... on EventConnection {
      events {
        __typename
        ... on ExecutionStepFailureEvent { error { message cause { message cause { message } } } }
      }
    }
  }
}"""
_LOCATION_STATUS = """
query Location { workspaceOrError { __typename ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"""


@dataclass(frozen=True)
class Run:
    """A run as the UI lists it."""

    run_id: str
    status: str
    tags: Mapping[str, str]

    @property
    def is_finished(self) -> bool:
        """Whether it ended, well or not."""
        return self.status in FINISHED


class DagsterApi:
    """The GraphQL interface of one Dagster UI."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=60.0)

    def wait_until_loaded(self, timeout_seconds: float = 120.0) -> None:
        """Return once the code location is loaded.

        Raises
        ------
        LifecycleError
            If it cannot be loaded, with Dagster's message.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            workspace = self._ask(_LOCATION_STATUS, {})["workspaceOrError"]
            for entry in workspace.get("locationEntries", []):
                outcome = entry["locationOrLoadError"] or {}
                if outcome.get("__typename") == "PythonError":
                    raise LifecycleError(f"Expected the code location to load, got: {outcome['message']}")
                if entry["loadStatus"] == "LOADED" and outcome:
                    return
            time.sleep(0.3)
        raise LifecycleError(
            f"Expected the code location to load within {timeout_seconds:.0f} s - at {self.url}/locations"
        )

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Launch a job and return the run's id; a partition or a range of them is named by its tags.

        Raises
        ------
        LifecycleError
            If Dagster does not take it.
        """
        params = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job},
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._ask(_LAUNCH, {"params": params})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reason = answer.get("message") or answer.get("errors") or answer["__typename"]
            raise LifecycleError(f"Expected Dagster to launch {job}, got: {reason}")
        run_id: str = answer["run"]["runId"]
        return run_id

    def run(self, run_id: str) -> Run:
        """One run."""
        return self._runs({"runIds": [run_id]})[0]

    def runs(self, job: str) -> list[Run]:
        """The latest runs of a job, newest first."""
        return self._runs({"pipelineName": job})

    def wait(self, run_id: str, on_wait: Callable[[], None]) -> Run:
        """Return once a run has ended; `on_wait` is called several times a second.

        Raises
        ------
        LifecycleError
            If it did not end well; with its address.
        """
        while not (run := self.run(run_id)).is_finished:
            on_wait()
            time.sleep(0.3)
        if run.status != "SUCCESS":
            raise LifecycleError(
                f"Expected the run to succeed, it ended with {run.status}: {self._failure(run_id)} "
                f"- see {self.run_url(run_id)}"
            )
        return run

    def _failure(self, run_id: str) -> str:
        """Why a run failed: the errors of its steps, first lines only."""
        answer = self._ask(_EVENTS, {"runId": run_id})["logsForRun"]
        errors = [event["error"] for event in answer.get("events", []) if event.get("error")]
        causes = [_innermost(error)["message"].strip().splitlines() for error in errors]
        return "; ".join(" ".join(lines[:3]) for lines in causes) or "no step failed, look at the run's log"

    def run_url(self, run_id: str) -> str:
        """Where people look at a run."""
        return f"{self.url}/runs/{run_id}"

    def _runs(self, filters: dict[str, Any]) -> list[Run]:
        answer = self._ask(_RUNS, {"filter": filters})["runsOrError"]
        if answer["__typename"] != "Runs":
            raise LifecycleError(f"Expected a list of runs, got: {answer.get('message', answer['__typename'])}")
        return [
            Run(entry["runId"], entry["status"], {tag["key"]: tag["value"] for tag in entry["tags"]})
            for entry in answer["results"]
        ]

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        response = self._client.post("/graphql", json={"query": query, "variables": variables})
        document = response.json()
        if "errors" in document:
            raise LifecycleError(f"Expected an answer of Dagster's GraphQL, got: {document['errors'][0]['message']}")
        answer: dict[str, Any] = document["data"]
        return answer


def _innermost(error: dict[str, Any]) -> dict[str, Any]:
    cause = error.get("cause")
    return _innermost(cause) if cause else error
