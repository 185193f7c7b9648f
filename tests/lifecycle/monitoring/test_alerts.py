import dataclasses
import datetime as dt

import pytest

from lifecycle.monitoring.alerts import drift_alert, failure_alert
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.verdict import MonitoringVerdict

NOW = dt.datetime(2018, 8, 29, 3, tzinfo=dt.UTC)
TRAFFIC = DriftVerdict(
    bundle_digest="b", window_start="2018-08-22", window_end="2018-08-29", rows=7000, has_verdict=True, is_alarm=True,
    psi={"amount": 0.3}, alarmed=("amount",), threshold=0.2, onset="2018-08-24", reason="PSI above 0.2: amount 0.300",
)  # fmt: skip
ALARM = MonitoringVerdict(
    as_of="2018-08-29", is_alarm=True, reason=TRAFFIC.reason, onset="2018-08-24", new_frauds=60, champion="b",
    champion_trained_until="2018-08-01", traffic=TRAFFIC, performance=None,
)  # fmt: skip
QUIET = dataclasses.replace(ALARM, is_alarm=False)


def test_a_refused_candidate_and_a_broken_run_read_differently() -> None:
    refused = failure_alert("card_fraud_retrain", "2018-08-29", "r", ["beats_baseline"], "checks failed", NOW)
    broken = failure_alert("card_fraud_retrain", "2018-08-29", "r", [], "disk full", NOW)
    assert refused.title == "Candidate refused: card_fraud as of 2018-08-29"
    assert "beats_baseline" in refused.message
    assert "nothing is broken" in refused.message
    assert broken.title == "Run broken: card_fraud as of 2018-08-29"
    assert "disk full" in broken.message
    assert "re-execute" in broken.remedy


def test_the_alert_of_a_run_without_a_model_names_its_job() -> None:
    alert = failure_alert("features", None, "r", [], None, NOW)
    assert alert.title == "Run broken: platform"
    assert alert.message == "Job features failed: no message"


@pytest.mark.parametrize(
    ("verdict", "previous", "is_raised"),
    [
        (ALARM, None, True),
        (ALARM, QUIET, True),
        (ALARM, ALARM, False),
        (QUIET, None, False),
        (QUIET, ALARM, False),
    ],
)
def test_drift_is_alerted_on_the_day_its_alarm_begins(
    verdict: MonitoringVerdict, previous: MonitoringVerdict | None, is_raised: bool
) -> None:
    alert = drift_alert("card_fraud", verdict, previous, "r", NOW)
    assert (alert is not None) == is_raised
    if alert is not None:
        assert (alert.title, alert.message) == ("Drift: card_fraud as of 2018-08-29", "PSI above 0.2: amount 0.300.")
