"""The standing alarm: its truth table, and what holds of every sequence of days."""

import dataclasses
import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.modelling.reference import SCORE
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.standing import (
    PSI_BANDS,
    RECALL,
    StandingAlarm,
    Step,
    advance,
    recall_severity,
    severity_above,
)

DAY = dt.date(2024, 2, 1)
LIMIT = 0.2


def traffic(as_of: dt.date = DAY, *, has_verdict: bool = True, missing: bool = False, **psi: float) -> DriftVerdict:
    """A verdict on the week before `as_of`, its alarm's onset three days before it."""
    alarmed = tuple(sorted((name for name, value in psi.items() if value > LIMIT), key=lambda name: -psi[name]))
    return DriftVerdict(
        bundle_digest="b", window_start="", window_end=as_of.isoformat(), rows=7000, has_verdict=has_verdict,
        is_alarm=bool(alarmed), psi=psi if has_verdict else {}, alarmed=alarmed if has_verdict else (),
        threshold=LIMIT, onset=(as_of - dt.timedelta(days=3)).isoformat() if alarmed else None, reason="",
        missing_days=((as_of - dt.timedelta(days=1)).isoformat(),) if missing else (),
    )  # fmt: skip


def recall(value: float | None) -> PerformanceVerdict:
    """A verdict on recall, promised 0.5 and required 0.4; ``None`` has none."""
    is_alarm = value is not None and value < 0.4
    return PerformanceVerdict(
        window_start="2024-01-20", window_end="2024-01-27", positives=60, has_verdict=value is not None,
        is_alarm=is_alarm, recall=value, promised=0.5, required=0.4, reason="",
    )  # fmt: skip


SILENT = traffic(has_verdict=False)
STANDING = StandingAlarm(
    "b", "2024-01-25", "2024-01-22", advance(None, "b", DAY, traffic(amount=0.3), None).standing.findings,  # type: ignore[union-attr]
    {"amount": "major"},
)  # fmt: skip
WITH_RECALL = advance(STANDING, "b", DAY, traffic(amount=0.3), recall(0.2)).standing

BEGUN, STOOD = "2024-02-01", "2024-01-25"
CASES: list[tuple[str, StandingAlarm | None, DriftVerdict, PerformanceVerdict | None, str | None, str, str]] = [
    # what, previous, traffic, performance, standing since, its subjects, news
    ("quiet stays quiet", None, traffic(amount=0.1), recall(0.5), None, "", ""),
    ("no verdict begins nothing", None, SILENT, recall(None), None, "", ""),
    ("a column begins", None, traffic(amount=0.21), None, BEGUN, "amount", "began amount moderate"),
    ("recall begins", None, traffic(), recall(0.2), BEGUN, RECALL, f"began {RECALL} major"),
    ("recall begins without traffic", None, SILENT, recall(0.3), BEGUN, RECALL, f"began {RECALL} moderate"),
    ("the same stands", STANDING, traffic(amount=0.3), None, STOOD, "amount", ""),
    ("less severe stands", STANDING, traffic(amount=0.21), None, STOOD, "amount", ""),
    ("severity rises", STANDING, traffic(amount=1.5), None, STOOD, "amount", "rose amount extreme"),
    ("the score joins", STANDING, traffic(amount=0.3, score=2.7), recall(0.5), STOOD, f"{SCORE} amount",
     "joined score extreme"),
    ("recall joins", STANDING, traffic(amount=0.3), recall(0.2), STOOD, f"amount {RECALL}", f"joined {RECALL} major"),
    ("one takes over from another", STANDING, traffic(count=0.22), None, STOOD, "count", "joined count moderate"),
    ("within all limits ends", STANDING, traffic(amount=0.1), recall(0.5), None, "", ""),
    ("recall without verdict keeps nothing of traffic", STANDING, traffic(amount=0.1), recall(None), None, "", ""),
    ("no verdict stands", STANDING, SILENT, None, STOOD, "amount", ""),
    ("no verdict stands while recall is well", STANDING, SILENT, recall(0.5), STOOD, "amount", ""),
    ("recall stands without a verdict", WITH_RECALL, traffic(amount=0.1), recall(None), STOOD, RECALL, ""),
    ("recall stands unmeasured", WITH_RECALL, traffic(amount=0.1), None, STOOD, RECALL, ""),
    ("recall ends", WITH_RECALL, traffic(amount=0.3), recall(0.5), STOOD, "amount", ""),
    ("a missing day is news", None, traffic(missing=True), None, None, "", "no_decisions 2024-01-31"),
    ("a missing day without verdict keeps the alarm", STANDING, traffic(has_verdict=False, missing=True), None, STOOD,
     "amount", "no_decisions 2024-01-31"),
    ("a missing day hides nothing", STANDING, traffic(missing=True, amount=0.3, score=2.7), None, STOOD,
     "score amount", "joined score extreme, no_decisions 2024-01-31"),
    ("another champion begins again", dataclasses.replace(STANDING, bundle="a"), traffic(amount=0.3), None, BEGUN,
     "amount", "began amount major"),
    ("another champion without verdict has none", dataclasses.replace(STANDING, bundle="a"), SILENT, None, None, "",
     ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("previous", "seen", "performance", "since", "subjects", "news"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_the_truth_table(
    previous: StandingAlarm | None,
    seen: DriftVerdict,
    performance: PerformanceVerdict | None,
    since: str | None,
    subjects: str,
    news: str,
) -> None:
    step = advance(previous, "b", DAY, seen, performance)
    standing = step.standing
    assert (standing.since if standing else None) == since
    assert " ".join(finding.subject for finding in (standing.findings if standing else ())) == subjects
    shown = [" ".join(filter(None, [item.kind, item.subject, item.severity])) for item in step.news]
    assert ", ".join(shown) == news
    assert msgspec.json.decode(msgspec.json.encode(step), type=Step) == step


def test_the_issue_of_a_harmless_column_first() -> None:
    """First a column; then the score at 2.7 and recall .2 against .5: both are alerted with their numbers."""
    first = advance(None, "b", DAY, traffic(amount=0.22), recall(0.5)).standing
    step = advance(first, "b", DAY, traffic(amount=0.22, score=2.7), recall(0.2))
    assert [item.text for item in step.news] == [
        "PSI of the score 2.700, limit 0.2 (extreme)",
        "recall at capacity 0.200 against 0.500 on the holdout, limit 0.400 (major)",
    ]


def test_rows_outside_the_reference_are_a_subject_of_their_own() -> None:
    """A column whose PSI stands already is alerted again when values leave the reference."""
    outside = dataclasses.replace(
        traffic(amount=0.3), outside={"amount": 0.03}, outside_alarmed=("amount",), outside_limit=0.005
    )
    [joined] = advance(STANDING, "b", DAY, outside, None).news
    assert (joined.kind, joined.subject, joined.severity) == ("joined", "amount outside the reference", "major")
    assert joined.text == "3.00% of amount outside the reference's values, limit 0.50% (major)"


def test_a_subject_that_returns_is_news_only_if_it_is_worse() -> None:
    left = advance(STANDING, "b", DAY, traffic(count=0.22), None).standing
    assert advance(left, "b", DAY, traffic(count=0.22, amount=0.3), None).news == ()
    [worse] = advance(left, "b", DAY, traffic(count=0.22, amount=1.3), None).news
    assert (worse.kind, worse.subject) == ("rose", "amount")


def test_the_onset_is_the_earliest_and_is_kept_without_a_verdict() -> None:
    alarm = advance(None, "b", DAY, traffic(amount=0.3), None).standing
    assert alarm is not None
    assert alarm.onset == "2024-01-29"
    for later in (SILENT, traffic(DAY + dt.timedelta(days=4), amount=0.3)):
        next_alarm = advance(alarm, "b", DAY + dt.timedelta(days=4), later, None).standing
        assert next_alarm is not None
        assert next_alarm.onset == "2024-01-29"
    with_recall = advance(alarm, "b", DAY, traffic(amount=0.3), recall(0.2)).standing
    assert with_recall is not None
    assert with_recall.onset == "2024-01-20"


@pytest.mark.parametrize(
    ("psi", "severity"), [(0.21, "moderate"), (0.25, "moderate"), (0.251, "major"), (1.0, "major"), (1.01, "extreme")]
)
def test_the_bands_of_psi(psi: float, severity: str) -> None:
    assert severity_above(psi, PSI_BANDS) == severity


@pytest.mark.parametrize(
    ("recall", "severity"), [(0.39, "moderate"), (0.25, "moderate"), (0.24, "major"), (0.12, "extreme"), (0, "extreme")]
)
def test_the_bands_of_recall_are_shares_of_what_was_promised(recall: float, severity: str) -> None:
    assert recall_severity(recall, 0.5) == severity


VALUES = st.sampled_from([0.1, 0.22, 0.5, 2.0])
DAYS = st.lists(
    st.tuples(st.booleans(), st.booleans(), VALUES, VALUES, st.sampled_from([None, 0.5, 0.3, 0.2, 0.05])), max_size=12
)


@given(DAYS)
def test_no_sequence_of_days_hides_a_subject_or_a_severity_or_tells_one_twice(
    days: list[tuple[bool, bool, float, float, float | None]],
) -> None:
    standing: StandingAlarm | None = None
    told: set[tuple[str, str | None]] = set()
    for number, (has_verdict, missing, amount, score, share) in enumerate(days):
        as_of = DAY + dt.timedelta(days=number)
        seen = traffic(as_of, has_verdict=has_verdict, missing=missing, amount=amount, score=score)
        step = advance(standing, "b", as_of, seen, recall(share))
        assert advance(standing, "b", as_of, seen, recall(share)) == step
        assert any(item.kind == "no_decisions" for item in step.news) == missing
        began = [item for item in step.news if item.kind == "began"]
        assert not began or standing is None
        if standing is None or step.standing is None:
            told = set()
        fresh = {(item.subject, item.severity) for item in step.news if item.severity}
        assert not fresh & told
        told |= fresh
        for finding in step.standing.findings if step.standing else ():
            assert step.standing is not None
            assert (finding.subject, step.standing.peaks[finding.subject]) in told
        if standing is not None and not has_verdict and share is None:
            assert step.standing == standing
        standing = step.standing
