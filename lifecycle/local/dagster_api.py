"""Launches and watches Dagster runs through the UI's GraphQL interface."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError, ReloadRepositoryLocationStatus

from lifecycle.errors import LifecycleError

ANSWER_SECONDS = 300
"""Time that the UI may take for an answer: on a busy machine a launch can take more than a minute."""
LOCATION = "lifecycle"
"""The code location's name in `workspace.yaml`."""
FINISHED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)

# Dagster's client can neither list runs, nor tell why one failed, nor whether the code location is loaded.
_RUNS = """
query Runs($job: String!) {
  runsOrError(filter: {pipelineName: $job}, limit: 50) {
    ... on Runs { results { runId tags { key value } } }
    ... on PythonError { message }
  }
}"""
_FAILURES = """
query Failures($runId: ID!) {
  logsForRun(runId: $runId) {
    ... on EventConnection {
      events { ... on ExecutionStepFailureEvent { error { message cause { message cause { message } } } } }
    }
  }
}"""
_LOCATIONS = """
query Locations {
  workspaceOrError {
    ... on Workspace {
      locationEntries { loadStatus locationOrLoadError { __typename ... on PythonError { message } } }
    }
  }
}"""


@dataclass(frozen=True)
class Run:
    """A run as the UI lists it."""

    run_id: str
    tags: Mapping[str, str]


class DagsterApi:
    """The GraphQL interface of one Dagster UI."""

    def __init__(self, url: str) -> None:
        self.url = url
        address = urlsplit(url)
        self._client = DagsterGraphQLClient(address.hostname or "", address.port, timeout=ANSWER_SECONDS)

    def wait_until_loaded(self, timeout_seconds: float = 120.0) -> None:
        """Return once the code location is loaded.

        Raises
        ------
        LifecycleError
            If it cannot be loaded, with Dagster's message.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            for entry in self._ask(_LOCATIONS, {})["workspaceOrError"].get("locationEntries", []):
                location = entry["locationOrLoadError"] or {}
                if "message" in location:
                    raise LifecycleError(f"Expected the code location to load, got: {location['message']}")
                if entry["loadStatus"] == "LOADED" and location:
                    return
            time.sleep(0.3)
        raise LifecycleError(
            f"Expected the code location to load within {timeout_seconds:.0f} s - at {self.url}/locations"
        )

    def reload(self) -> None:
        """Load the code location again, for definitions that follow the data.

        Raises
        ------
        LifecycleError
            If it cannot be loaded, with Dagster's message.
        """
        try:
            answer = self._client.reload_repository_location(LOCATION)
        except (DagsterGraphQLClientError, OSError) as error:
            raise LifecycleError(f"Expected the code location to load again, got: {error}") from error
        if answer.status is not ReloadRepositoryLocationStatus.SUCCESS:
            raise LifecycleError(f"Expected the code location to load again, got: {answer.message}")
        self.wait_until_loaded()

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Launch a job and return the run's id; a partition or a range of them is named by its tags.

        Raises
        ------
        LifecycleError
            If Dagster rejects the job.
        """
        try:
            run_id: str = self._client.submit_job_execution(job, tags=dict(tags))
        except DagsterGraphQLClientError as error:
            raise LifecycleError(f"Expected Dagster to launch {job}, got: {error.args[-1]}") from error
        return run_id

    def runs(self, job: str) -> list[Run]:
        """The latest runs of a job, newest first.

        Raises
        ------
        LifecycleError
            If Dagster does not list them.
        """
        answer = self._ask(_RUNS, {"job": job})["runsOrError"]
        if "results" not in answer:
            raise LifecycleError(f"Expected the runs of {job}, got: {answer.get('message')} - at {self.url}/runs")
        return [Run(run["runId"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in answer["results"]]

    def wait(self, run_id: str, on_wait: Callable[[], None]) -> None:
        """Return once a run has succeeded; `on_wait` is called several times a second.

        Raises
        ------
        LifecycleError
            If the run failed or was cancelled; with its address.
        """
        while (status := self._client.get_run_status(run_id)) not in FINISHED:
            on_wait()
            time.sleep(0.3)
        if status is not DagsterRunStatus.SUCCESS:
            raise LifecycleError(
                f"Expected the run to succeed, it ended with {status.value}: {self._failure(run_id)} "
                f"- see {self.run_url(run_id)}"
            )

    def _failure(self, run_id: str) -> str:
        """First lines of the errors of a run's steps."""
        events = self._ask(_FAILURES, {"runId": run_id})["logsForRun"].get("events", [])
        errors = [_innermost(event["error"]).strip().splitlines() for event in events if event.get("error")]
        return "; ".join(" ".join(lines[:3]) for lines in errors) or "no step failed, look at the run's log"

    def run_url(self, run_id: str) -> str:
        """Address of a run in the UI."""
        return f"{self.url}/runs/{run_id}"

    def _ask(self, query: str, variables: dict[str, str]) -> dict[str, Any]:
        response = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=ANSWER_SECONDS
        )
        document = response.json()
        if "errors" in document:
            raise LifecycleError(
                f"Expected an answer to a GraphQL query, got: {document['errors'][0]['message']} - at {self.url}"
            )
        answer: dict[str, Any] = document["data"]
        return answer


def _innermost(error: dict[str, Any]) -> str:
    return _innermost(error["cause"]) if error.get("cause") else str(error["message"])
