"""Sixty simulated days on real processes: two changes of the pattern, a rollback by hand, a power cut, a copied home.

Each day's verdict is compared with the truth, which the test knows: which pattern the day has, and which days the model
that decided was trained on. At every step all parts of the platform must name the same champion.
"""

import dataclasses
import datetime as dt
import enum
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.assets.asked_runs import FIRST_RELEASE_TAG
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.partitions import PARTITION_TAG
from lifecycle.assets.retraining import retraining_state
from lifecycle.cli.run import DEMO_SEED
from lifecycle.gates.retraining import RetrainOrder, decide_retraining
from lifecycle.local.dagster_api import Run
from lifecycle.local.demo.live import requests_of
from lifecycle.local.demo.story import FEATURES_JOB, demo_world
from lifecycle.local.demo.timeline import LONGEST_WINDOW_DAYS, days_of, timeline
from lifecycle.local.demo.traffic import replay
from lifecycle.local.simulator import SIMULATED, simulate
from lifecycle.monitoring.verdict import MonitoringVerdict
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.loading.load import load
from tests.harness.running_installation import RunningInstallation, running_installation

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]
MODEL = "card_fraud"
DAY = dt.timedelta(days=1)
LIVE_DAYS = 60
FRAUD_SCALE = 6.0
"""About 3 % frauds, so that a holdout of four days decides the gates."""
STEP_DAYS = 5
"""Days between two daily checks, each of which covers every day of them."""
FIRST_CHANGE, ROLLBACK, RESUMED, POWER_CUT, SECOND_CHANGE, COPIED = 15, 25, 30, 35, 45, 55
"""Live days, counted from 0, before which these happen; multiples of `STEP_DAYS`."""
DETECTED_WITHIN_DAYS = 5
"""Days of a pattern that the champion has not learned, after which an alarm must have begun."""
SETTLED_AFTER_DAYS = LONGEST_WINDOW_DAYS
"""Days after a change during which the windows over the past fill with the new pattern, so that inputs keep moving."""


class SixtyDays:
    """The world, what has happened in it, and what monitoring must say."""

    def __init__(self, installation: RunningInstallation, today: dt.date) -> None:
        self.installation = installation
        self.spec: RiskModelSpec = read_model(MODEL, "demo")
        self.keys = ModelKeys(MODEL)
        days = timeline(self.spec, today)
        self.start = days.end_day - LIVE_DAYS * DAY
        self.first_day = self.start - (days.live_start - days.first_day)
        self.end = days.end_day
        self.champions: list[tuple[dt.date, str, str]] = []
        """First day, bundle and ``as_of`` of each champion, as they came into force."""

    def day(self, number: int) -> dt.date:
        """A live day, counted from 0."""
        return self.start + number * DAY

    def load(self) -> None:
        """Load the history and all live days; what a day's models may know of them follows from the dates alone."""
        folder = self.installation.home / "simulated"
        config = dataclasses.replace(
            demo_world(self.first_day, self.end, DEMO_SEED),
            pattern_change_date=self.day(FIRST_CHANGE),
            pattern_return_date=self.day(SECOND_CHANGE),
            fraud_scale=FRAUD_SCALE,
        )
        simulate(config, folder)
        for relation in SIMULATED:
            load(open_warehouse(self.installation.settings, Use("load")), relation, folder / relation)
        self.installation.run(FEATURES_JOB, self.first_day.isoformat(), (self.end - DAY).isoformat())

    def release_first(self) -> None:
        """Train and release the first model, at a date that is not the data's newest."""
        tags = {PARTITION_TAG: self.start.isoformat(), FIRST_RELEASE_TAG: "soak"}
        dagster = self.installation.dagster
        dagster.wait(dagster.launch(self.keys.retrain_job, tags), lambda: None)
        self.expect_one_champion(self.start)

    def live(self, start: dt.date, end: dt.date) -> None:
        """Send the requests of ``[start, end)``."""
        warehouse = open_warehouse(self.installation.settings)
        requests = requests_of(warehouse, self.spec, start, end)
        sent = replay(self.installation.serving_url, MODEL, requests)
        assert (sent.sent, sent.failed) == (len(requests), 0), sent.failures

    def check(self, start: dt.date, end: dt.date) -> None:
        """Run the daily check on ``[start, end)``."""
        self.installation.run(self.keys.monitor_job, start.isoformat(), (end - DAY).isoformat())

    def let_the_sensor_retrain(self, end: dt.date) -> None:
        """If a retraining is due, wait until the sensor has started it and it has ended."""
        runs = self.installation.sensor_runs
        as_of = end.isoformat()
        earlier = [date for run in runs(self.keys.retrain_job) if (date := run.tags[PARTITION_TAG]) != as_of]
        stores = self.installation.stores
        state = retraining_state(self.spec, stores, max(earlier, default=None), is_in_flight=False)
        assert state is not None
        if isinstance(decide_retraining(state, self.spec.retraining), RetrainOrder):

            def ordered() -> list[Run]:
                return [run for run in runs(self.keys.retrain_job) if run.tags[PARTITION_TAG] == as_of]

            self.installation.wait(lambda: bool(ordered()), f"the sensor to retrain as of {as_of}")
            failure = self.installation.failure(ordered()[0].run_id)
            # A candidate that a gate refuses is no fault: the sensor orders another one after the cooldown.
            assert failure is None or "blocking asset check" in failure, failure
        self.expect_one_champion(end)

    def expect_one_champion(self, day: dt.date) -> None:
        """All parts of the platform name the same champion, once the server has had time to poll."""
        expected = self.installation.released(MODEL)
        served = self.installation.served
        self.installation.wait(lambda: served(MODEL) == expected, f"the server to decide with {expected}")
        champions = self.installation.champions(MODEL)
        assert set(champions.values()) == {expected}, champions
        release = self.installation.stores.releases().latest(MODEL)
        assert release is not None
        if not self.champions or self.champions[-1][1] != expected:
            self.champions.append((day, expected, release.champion.as_of))

    def pattern(self, day: dt.date) -> int:
        """The pattern of a day: 1 between the two changes, otherwise 0."""
        return int(self.day(FIRST_CHANGE) <= day < self.day(SECOND_CHANGE))

    def is_settled(self, day: dt.date) -> bool:
        """Whether no change of the pattern is so recent that inputs still move."""
        changes = [self.day(FIRST_CHANGE), self.day(SECOND_CHANGE)]
        return not any(change <= day < change + SETTLED_AFTER_DAYS * DAY for change in changes)

    def expected(self, as_of: dt.date) -> "Expected":
        """What the verdict of `as_of` must be."""
        last_day = as_of - DAY
        since, _, trained_as_of = [champion for champion in self.champions if champion[0] <= last_day][-1]
        trained_day = dt.date.fromisoformat(trained_as_of) - DAY
        decided = days_of(max(since, as_of - self.spec.drift.window_days * DAY), as_of)
        unlearned = [day for day in decided if self.pattern(day) != self.pattern(trained_day)]
        if unlearned:
            return Expected.ALARM if len(unlearned) >= DETECTED_WITHIN_DAYS else Expected.EITHER
        # What was promised on a holdout of both patterns is no measure of days with one of them.
        mature = dt.date.fromisoformat(trained_as_of) - self.spec.label.maturity_days * DAY
        holdout = days_of(mature - self.spec.training.holdout * DAY, mature)
        if any(self.pattern(day) != self.pattern(trained_day) for day in holdout):
            return Expected.EITHER
        is_settled = self.is_settled(last_day) and self.is_settled(trained_day)
        return Expected.QUIET if is_settled else Expected.INPUTS_MAY_ALARM


class Expected(enum.Enum):
    """What a day's verdict must be."""

    QUIET = "no alarm"
    ALARM = "an alarm"
    INPUTS_MAY_ALARM = "no alarm about the recall: the model has learned the pattern, while inputs still move"
    EITHER = "an alarm or not: the pattern is new, or the champion's holdout has days of both"

    def is_met_by(self, verdict: MonitoringVerdict) -> bool:
        """Whether a verdict is as expected."""
        if self is Expected.INPUTS_MAY_ALARM:
            return verdict.performance is None or not verdict.performance.is_alarm
        return self is Expected.EITHER or verdict.is_alarm is (self is Expected.ALARM)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SixtyDays]:
    """The sixty days, lived through."""
    root = tmp_path_factory.mktemp("soak")
    with running_installation(root / "home") as installation:
        days = SixtyDays(installation, dt.datetime.now(dt.UTC).date())
        installation.command("init")
        installation.start()
        days.load()
        days.release_first()
        for number in range(0, LIVE_DAYS, STEP_DAYS):
            _happen(days, number, root)
            start, end = days.day(number), days.day(number + STEP_DAYS)
            days.live(start, end)
            if number == POWER_CUT:
                _cut_power_during_the_check(days, start, end)
            days.check(start, end)
            days.let_the_sensor_retrain(end)
        yield days


def _happen(days: SixtyDays, number: int, root: Path) -> None:
    """What people and accidents do before a live day."""
    installation = days.installation
    if number == ROLLBACK:
        installation.command("rollback", MODEL, "--reason", "it declines too much")
        days.expect_one_champion(days.day(number))
    if number == RESUMED:
        withdrawn = days.champions[-2][1]
        installation.command("promote", MODEL, withdrawn, "--reason", "the complaint was unfounded")
        installation.command("resume", MODEL, "--reason", "the complaint was unfounded")
        days.expect_one_champion(days.day(number))
    if number == COPIED:
        installation.stop()
        installation.move_to_copy(root / "copied home")
        installation.start()
        days.expect_one_champion(days.day(number))


def _cut_power_during_the_check(days: SixtyDays, start: dt.date, end: dt.date) -> None:
    installation = days.installation
    run = installation.launch(days.keys.monitor_job, start.isoformat(), (end - DAY).isoformat())
    installation.wait(lambda: installation.is_started(run), "the daily check to run")
    installation.cut_power()
    installation.start()
    installation.wait(lambda: not installation.is_started(run), "the broken run to be failed")
    days.expect_one_champion(start)


def test_each_day_has_the_verdict_that_is_true(lived: SixtyDays) -> None:
    verdicts = lived.installation.stores.evidence(MODEL).drift()
    assert sorted(verdicts) == [day + DAY for day in days_of(lived.start, lived.end)]
    expected = {as_of: lived.expected(as_of) for as_of in verdicts}
    wrong = {
        as_of.isoformat(): f"expected {expected[as_of].value}, got {verdict.reason}"
        for as_of, verdict in verdicts.items()
        if not expected[as_of].is_met_by(verdict)
    }
    assert wrong == {}
    days = Counter(expected.values())
    assert days[Expected.QUIET] >= FIRST_CHANGE
    assert days[Expected.ALARM] >= 2
    # A champion whose holdout has days of both patterns serves until the next one; how long depends on the world.
    assert days[Expected.EITHER] < LIVE_DAYS / 2


def test_every_champion_came_into_force_for_its_reason(lived: SixtyDays) -> None:
    history = lived.installation.stores.releases().history(MODEL)
    first, second = lived.champions[0], lived.champions[1]
    assert [champion[1] for champion in lived.champions[:4]] == [first[1], second[1], first[1], second[1]]
    assert lived.day(FIRST_CHANGE) < second[0] <= lived.day(ROLLBACK)
    assert len(lived.champions) >= 5
    assert lived.pattern(dt.date.fromisoformat(lived.champions[-1][2]) - DAY) == 0
    assert [release.number for release in history] == list(range(1, len(history) + 1))


def test_every_decision_is_in_the_warehouse_once(lived: SixtyDays) -> None:
    rows = open_warehouse(lived.installation.settings).query(
        "select count(*) as n, count(distinct decision_id) as ids from raw.decisions"
    )
    (row,) = rows.to_pylist()
    warehouse = open_warehouse(lived.installation.settings)
    sent = len(requests_of(warehouse, lived.spec, lived.start, lived.end))
    assert row == {"n": sent, "ids": sent}
