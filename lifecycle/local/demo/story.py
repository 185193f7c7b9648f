"""The steps of the demonstration, each recorded once it is done."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.assets.asked_runs import FIRST_RELEASE_TAG
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.partitions import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from lifecycle.errors import LifecycleError
from lifecycle.local.dagster_api import DagsterApi, Run
from lifecycle.local.demo.live import requests_of
from lifecycle.local.demo.screen import Screen
from lifecycle.local.demo.state import DemoState, StateFile, timeline_of
from lifecycle.local.demo.timeline import days_of
from lifecycle.local.demo.traffic import BackgroundTraffic, replay
from lifecycle.local.processes import Running
from lifecycle.local.simulator import SIMULATED, SimulationConfig, simulate
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.loading.erased import key_hash_of
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.reading.first_day import note_first_day

FEATURES_JOB = "features"
CUSTOMERS, TERMINALS, FRAUD_SCALE = 800, 600, 4.0
"""About 1,700 transactions a day with 2 % frauds: enough to train on weeks of them, and fast to replay."""
STEP_DAYS = 5
"""Days of live traffic between two daily checks, which cover every day; a larger step keeps the demo short."""
RELOAD_REQUESTS_PER_SECOND = 60.0
PICKUP_TIMEOUT_SECONDS = 60.0


def demo_world(first_day: dt.date, end_day: dt.date, seed: int) -> SimulationConfig:
    """The simulated world of the days ``[first_day, end_day)``, whose fraud pattern never changes."""
    return SimulationConfig(
        customers=CUSTOMERS,
        terminals=TERMINALS,
        start_date=first_day,
        days=(end_day - first_day).days,
        seed=seed,
        fraud_scale=FRAUD_SCALE,
        report_delay_mean_days=1.0,
        late_report_share=0.02,
    )


@dataclass
class Story:
    """One demonstration on running services."""

    settings: Settings
    spec: RiskModelSpec
    state: DemoState
    file: StateFile
    dagster: DagsterApi
    serving_url: str
    services: Running
    screen: Screen

    def __post_init__(self) -> None:
        self.days = timeline_of(self.state, self.spec)
        self.keys = ModelKeys(self.spec.name)
        self.warehouse = open_warehouse(self.settings)
        self.evidence = EvidenceStore(self.settings.evidence_dir, self.spec.name)

    def run(self, last_step: str | None = None) -> None:
        """Run the steps that are not done yet, by default all of them."""
        self.dagster.wait_until_loaded()
        for name, title, act in self._steps():
            is_due = name not in self.state.done
            with self.screen.step(title, is_due=is_due):
                if is_due:
                    act()
            if is_due:
                self.state.done.append(name)
                self.file.keep(self.state)
            if name == last_step:
                break

    def first_decision(self) -> None:
        """Run the steps up to the first release and score the example that the server gives of its inputs."""
        self.run("first_release")
        url = f"{self.serving_url}/v1/models/{self.spec.name}"
        example = httpx.get(url, timeout=5.0).raise_for_status().json()["example"]
        answer = httpx.post(f"{url}/score", json=example, timeout=5.0).raise_for_status().json()
        self.screen.note(f"First decision: {answer['decision']}, score {answer['score']:.4f}")

    def _steps(self) -> list[tuple[str, str, Callable[[], None]]]:
        days = self.days
        return [
            ("history", f"Simulate and load {days.first_day} to {days.live_start}", self._history),
            ("features", "Build the features of the history with dbt", self._features),
            ("first_release", f"Train, validate, register and release as of {days.live_start}", self._first_release),
            ("live_days", f"Simulate the live days; the fraud pattern changes on {days.change_day}", self._live_days),
            ("quiet", f"Live requests up to {days.change_day}, then the daily check", self._quiet),
            ("change", "Live requests while fraud has changed, until the sensor retrains", self._live_until_retrained),
            ("reload", "Live requests while the new model is trained, released, picked up", self._reload_under_load),
            ("after", "Live requests decided by the retrained model, then the daily check", self._after),
        ]

    def _history(self) -> None:
        self._load("history", self.days.first_day, self.days.live_start)

    def _features(self) -> None:
        self._launch_range(FEATURES_JOB, self.days.first_day, self.days.live_start)

    def _first_release(self) -> None:
        self._launch(
            self.keys.retrain_job,
            {PARTITION_TAG: self.days.live_start.isoformat(), FIRST_RELEASE_TAG: "demonstration"},
        )
        self._wait_for_release(1)

    def _live_days(self) -> None:
        self._load("live", self.days.live_start, self.days.end_day)
        self._launch_range(FEATURES_JOB, self.days.live_start, self.days.end_day)

    def _quiet(self) -> None:
        self._live(self.days.live_start, self.days.change_day)

    def _after(self) -> None:
        self._live(self.state.monitored_until or self.days.change_day, self.days.end_day)

    def _load(self, name: str, start: dt.date, end: dt.date) -> None:
        """Simulate the days of ``[start, end)`` and load them; rows that are loaded already are skipped."""
        folder = self.settings.root / "demo" / name
        last = end - dt.timedelta(days=1)
        config = dataclasses.replace(
            demo_world(self.days.first_day, self.days.end_day, self.state.seed),
            pattern_change_date=self.days.change_day,
        )
        simulate(config, folder, first_date=start, last_date=last, progress=self.screen.advance)
        warehouse = open_warehouse(self.settings, Use("load"))
        for relation in SIMULATED:
            load(warehouse, relation, folder / relation, key_hash=key_hash_of(self.settings))
        if note_first_day(warehouse, self.settings.root):
            self.dagster.reload()

    def _live(self, start: dt.date, end: dt.date) -> None:
        """Send the requests of ``[start, end)`` that were not sent yet, then run the daily check on these days."""
        for day in days_of(max(start, self.state.replayed_until or start), end):
            self._replay_day(day)
        first = max(start, self.state.monitored_until or start)
        if first < end:
            self._launch_range(self.keys.monitor_job, first, end)
            self.state.monitored_until = end
            self.file.keep(self.state)

    def _replay_day(self, day: dt.date) -> None:
        requests = requests_of(self.warehouse, self.spec, day, day + dt.timedelta(days=1))
        sent = replay(self.serving_url, self.spec.name, requests, on_sent=self.screen.sent)
        self.services.expect_alive()
        self.state.requests_sent += sent.sent
        self.state.requests_failed += sent.failed
        self.state.replayed_until = day + dt.timedelta(days=1)
        self.file.keep(self.state)

    def _live_until_retrained(self) -> None:
        """Send `STEP_DAYS` days at a time until the retrain sensor has started a run.

        Raises
        ------
        LifecycleError
            If the days end without a retraining.
        """
        start = self.state.monitored_until or self.days.change_day
        while not (run := self._sensor_run()):
            end = min(start + dt.timedelta(days=STEP_DAYS), self.days.end_day)
            if start >= end:
                raise LifecycleError(
                    "Expected the sensor to retrain before the simulated days end, it did not; look at the sensor "
                    f"{self.keys.retrain_job}_sensor - at {self.dagster.url}/automation"
                )
            self._live(start, end)
            if self._is_retraining_due(end):
                self._wait_for_sensor()
            start = end
        self.state.retrained_as_of = dt.date.fromisoformat(run.tags[PARTITION_TAG])
        self.screen.note(f"The sensor started {self.keys.retrain_job} as of {self.state.retrained_as_of}")
        self.screen.note(self.dagster.run_url(run.run_id))

    def _is_retraining_due(self, as_of: dt.date) -> bool:
        alarms = {date: verdict for date, verdict in self.evidence.drift().items() if verdict.is_alarm}
        if alarms and self.state.alarmed_as_of is None:
            first = self.state.alarmed_as_of = min(alarms)
            self.file.keep(self.state)
            self.screen.note(f"Drift as of {first}: {alarms[first].reason}")
        return as_of in alarms and alarms[as_of].new_positives >= self.spec.retraining.minimum_new_positives

    def _sensor_run(self) -> Run | None:
        """The latest retraining that the sensor launched."""
        automatic = [run for run in self.dagster.runs(self.keys.retrain_job) if "dagster/sensor_name" in run.tags]
        return automatic[0] if automatic else None

    def _wait_for_sensor(self) -> None:
        self._poll(lambda: self._sensor_run() is not None, 12 * self.spec.retraining.poll_seconds)

    def _reload_under_load(self) -> None:
        """Send the next days' requests at a steady pace while the new model is trained, released and picked up.

        The remaining requests are sent afterwards; sending a request twice is idempotent.
        """
        run = self._sensor_run()
        if run is None:
            raise LifecycleError(f"Expected a run of {self.keys.retrain_job}, found none - at {self.dagster.url}/runs")
        start = self.state.replayed_until or self.days.change_day
        requests = requests_of(self.warehouse, self.spec, start, self.days.end_day)
        with BackgroundTraffic(self.serving_url, self.spec.name, requests, RELOAD_REQUESTS_PER_SECOND) as traffic:
            self.dagster.wait(run.run_id, self.services.expect_alive)
            self._wait_for_release(2)
            # The reload is complete once the new release has answered a second of requests.
            self._poll(lambda: traffic.result.releases[2] > RELOAD_REQUESTS_PER_SECOND, PICKUP_TIMEOUT_SECONDS)
        sent = traffic.result
        self.state.reload_requests_sent += sent.sent
        self.state.reload_requests_failed += sent.failed
        last_day = dt.datetime.fromisoformat(requests[sent.sent - 1]["occurred_at"]).date()
        self.state.released_from = last_day + dt.timedelta(days=1)
        self.file.keep(self.state)
        self.screen.note(
            f"{sent.sent:,} requests over the reload, {sent.failed} failed; "
            f"answered by release: {dict(sorted(sent.releases.items()))}"
        )

    def _wait_for_release(self, number: int) -> None:
        """Return once the server answers with this release or a later one.

        Raises
        ------
        LifecycleError
            On a timeout.
        """
        if not self._poll(lambda: self._served_release() >= number, PICKUP_TIMEOUT_SECONDS):
            raise LifecycleError(
                f"Expected the server to pick up release {number} within {PICKUP_TIMEOUT_SECONDS:.0f} s, it serves "
                f"{self._served_release()} - see {self.serving_url}/readyz"
            )
        self.screen.note(f"The server decides with release {self._served_release()} of {self.spec.name}")

    def _served_release(self) -> int:
        answer: dict[str, Any] = httpx.get(f"{self.serving_url}/readyz", timeout=5.0).json()
        return int((answer["models"].get(self.spec.name) or {}).get("release_number") or 0)

    def _launch_range(self, job: str, start: dt.date, end: dt.date) -> None:
        last = end - dt.timedelta(days=1)
        self._launch(job, {RANGE_START_TAG: start.isoformat(), RANGE_END_TAG: last.isoformat()})

    def _launch(self, job: str, tags: dict[str, str]) -> None:
        run_id = self.dagster.launch(job, tags)
        self.screen.note(f"{job}: {self.dagster.run_url(run_id)}")
        self.dagster.wait(run_id, self.services.expect_alive)

    def _poll(self, is_done: Callable[[], bool], timeout_seconds: float) -> bool:
        return self.screen.poll(is_done, timeout_seconds, self.services.expect_alive)
