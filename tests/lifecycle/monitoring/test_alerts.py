import dataclasses
import datetime as dt

import pytest

from lifecycle.monitoring.alerts import failure_alert, monitoring_alerts
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.standing import News, NewsKind, StandingAlarm
from lifecycle.monitoring.verdict import MonitoringVerdict

NOW = dt.datetime(2018, 8, 29, 3, tzinfo=dt.UTC)
TRAFFIC = DriftVerdict(
    bundle_digest="b", window_start="2018-08-22", window_end="2018-08-29", rows=7000, has_verdict=True, is_alarm=True,
    psi={"amount": 0.3}, alarmed=("amount",), threshold=0.2, onset="2018-08-24", reason="PSI above 0.2: amount 0.300",
)  # fmt: skip
ALARM = MonitoringVerdict(
    as_of="2018-08-29", is_alarm=True, reason=TRAFFIC.reason, onset="2018-08-24", new_positives=60, champion="b",
    champion_trained_until="2018-08-01", traffic=TRAFFIC, performance=None,
)  # fmt: skip


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


def news(kind: NewsKind, subject: str = "amount", text: str = "PSI of amount 0.300, limit 0.2 (major)") -> News:
    return News(kind, subject, None if kind == "no_decisions" else "major", text)


STANDING = StandingAlarm("b", "2018-08-29", "2018-08-24", (), {"amount": "major"})
MISSING = news("no_decisions", "2018-08-28", "2018-08-28 has no decisions")
KEY = "card_fraud:2018-08-29:began:amount:major"


@pytest.mark.parametrize(
    ("standing", "told", "shown"),
    [
        (None, (), []),
        (
            STANDING,
            (news("began"),),
            [("drift", "An alarm begins: PSI of amount 0.300, limit 0.2 (major). Onset 2018-08-24.")],
        ),
        (
            dataclasses.replace(STANDING, since="2018-08-27"),
            (news("joined", "score", "the score"), news("rose", "amount", "amount")),
            [
                (
                    "drift",
                    "The alarm since 2018-08-27 grows: the score; amount. Onset 2018-08-24.",
                )
            ],
        ),
        (None, (MISSING,), [("no_decisions", "2018-08-28 has no decisions.")]),
        (
            STANDING,
            (MISSING,),
            [("no_decisions", "2018-08-28 has no decisions. The alarm since 2018-08-29 stands.")],
        ),
    ],
)
def test_each_kind_of_news_is_one_alert_with_its_numbers(
    standing: StandingAlarm | None, told: tuple[News, ...], shown: list[tuple[str, str]]
) -> None:
    verdict = dataclasses.replace(ALARM, standing=standing, news=told)
    alerts = monitoring_alerts("card_fraud", verdict, (), "r", NOW)
    assert [(alert.kind, alert.message) for alert in alerts] == shown
    assert sum(len(alert.keys) for alert in alerts) == len(told)


def test_what_was_told_is_not_told_again() -> None:
    verdict = dataclasses.replace(
        ALARM, standing=STANDING, news=(news("began"), news("began", "score", "score"), MISSING)
    )
    first, second = monitoring_alerts("card_fraud", verdict, {KEY}, "r", NOW)
    assert (first.keys, second.keys) == (
        ("card_fraud:2018-08-29:began:score:major",),
        ("card_fraud:2018-08-29:no_decisions:2018-08-28:",),
    )
    assert monitoring_alerts("card_fraud", verdict, {KEY, *first.keys, *second.keys}, "r", NOW) == []
