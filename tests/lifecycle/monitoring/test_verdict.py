import dataclasses
import datetime as dt

import pytest

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import Reference
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.standing import advance
from lifecycle.monitoring.traffic import ChampionInForce
from lifecycle.monitoring.verdict import first_new_positive_day, monitoring_verdict, new_positive_days
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Bands, Calibration, Deciding

CHAMPION = ChampionInForce(
    bundle_digest="b1",
    trained_until=dt.date(2024, 1, 20),
    promised_recall=Interval(0.5, 0.4, 0.6),
    reference=Reference(columns={}, start="2024-01-01", end="2024-01-20"),
    deciding=Deciding(
        schema_version=1, model="toy", features=(), calibration=Calibration(slope=1.0, intercept=0.0),
        bands=Bands(review_from=0.5),
    ),
    model_text=b"",
)  # fmt: skip
QUIET = DriftVerdict(
    bundle_digest="b1", window_start="2024-01-25", window_end="2024-02-01", rows=7000, has_verdict=True, is_alarm=False,
    psi={"amount": 0.05}, alarmed=(), threshold=0.2, onset=None, reason="no column above 0.2",
)  # fmt: skip
DRIFT = dataclasses.replace(
    QUIET, is_alarm=True, psi={"amount": 0.3}, alarmed=("amount",), onset="2024-01-27", reason="PSI above 0.2"
)
GOOD = PerformanceVerdict(
    window_start="2024-01-23", window_end="2024-01-30", positives=60, has_verdict=True, is_alarm=False, recall=0.5,
    promised=0.5, required=0.35, reason="recall 0.500",
)  # fmt: skip
BAD = dataclasses.replace(GOOD, is_alarm=True, recall=0.2, reason="recall 0.200")
AS_OF = dt.date(2024, 2, 1)


@pytest.mark.parametrize(
    ("traffic", "performance", "onset", "reason"),
    [
        (QUIET, None, None, "no column above 0.2"),
        (QUIET, GOOD, None, "no column above 0.2"),
        (DRIFT, None, "2024-01-27", "PSI above 0.2"),
        (DRIFT, GOOD, "2024-01-27", "PSI above 0.2"),
        (QUIET, BAD, "2024-01-23", "recall 0.200"),
        (DRIFT, BAD, "2024-01-23", "PSI above 0.2; recall 0.200"),
    ],
)
def test_traffic_and_performance_are_concluded_together(
    traffic: DriftVerdict, performance: PerformanceVerdict | None, onset: str | None, reason: str
) -> None:
    step = advance(None, "b1", AS_OF, traffic, performance)
    verdict = monitoring_verdict(CHAMPION, AS_OF, traffic, performance, step, 7)
    assert (verdict.is_alarm, verdict.onset, verdict.reason) == (onset is not None, onset, reason)
    assert (verdict.champion, verdict.champion_trained_until, verdict.new_positives) == ("b1", "2024-01-20", 7)
    assert (verdict.standing, verdict.news) == (step.standing, step.news)


def test_the_reason_names_what_stands_without_a_verdict_of_today() -> None:
    standing = advance(None, "b1", AS_OF, DRIFT, None).standing
    assert standing is not None
    silent = dataclasses.replace(QUIET, has_verdict=False, psi={}, reason="50 decisions, below 1000: no verdict")
    step = advance(standing, "b1", AS_OF + dt.timedelta(days=1), silent, None)
    verdict = monitoring_verdict(CHAMPION, AS_OF + dt.timedelta(days=1), silent, None, step, 7)
    assert verdict.reason == (
        "50 decisions, below 1000: no verdict; the alarm since 2024-02-01 stands: PSI of amount 0.300, limit 0.2 "
        "(major)"
    )


@pytest.mark.parametrize(
    ("onset", "trained_until", "as_of", "expected"),
    [
        (None, 20, 40, None),
        (15, 10, 40, (15, 29)),
        (15, 20, 40, (20, 29)),
        (15, 29, 40, None),
        (35, 20, 40, None),
    ],
)
def test_new_frauds_precede_the_holdout_of_a_training_now(
    spec: RiskModelSpec, onset: int | None, trained_until: int, as_of: int, expected: tuple[int, int] | None
) -> None:
    def day(number: int) -> dt.date:
        return dt.date(2024, 1, 1) + dt.timedelta(days=number)

    days = new_positive_days(spec, None if onset is None else day(onset), day(trained_until), day(as_of))
    assert days == (None if expected is None else (day(expected[0]), day(expected[1])))


@pytest.mark.parametrize(
    ("trained_until", "expected"),
    [(dt.date(2018, 8, 1), 10), (dt.date(2018, 8, 20), 20)],
)
def test_new_frauds_count_from_the_onset_or_from_what_the_champion_has_learned(
    trained_until: dt.date, expected: int
) -> None:
    assert first_new_positive_day(dt.date(2018, 8, 10), trained_until) == dt.date(2018, 8, expected)
