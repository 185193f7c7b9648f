"""Verdicts of monitoring with known values."""

import dataclasses
import datetime as dt

from lifecycle.artefacts.evidence import EvidenceStore, GateEvidence
from lifecycle.monitoring.accounts import DayOfDecisions, DayOfRequests
from lifecycle.monitoring.decision_load import LoadVerdict
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.standing import Finding, StandingAlarm
from lifecycle.monitoring.verdict import MonitoringVerdict
from serving.contract.documents import Verdict
from tests.harness.small_models import MODEL, SmallStore

AS_OF = dt.date(2018, 8, 29)
DAY = AS_OF - dt.timedelta(days=1)
TRAFFIC = DriftVerdict(
    bundle_digest="b", window_start="2018-08-22", window_end="2018-08-29", rows=7000, has_verdict=True, is_alarm=True,
    psi={"amount": 0.3, "is_night": 0.01, "score": 1.5}, alarmed=("score", "amount"), threshold=0.2,
    onset="2018-08-24", reason="PSI above 0.2: the score 1.500, amount 0.300", outside={"amount": 0.004},
    outside_limit=0.005,
)  # fmt: skip
STANDING = StandingAlarm(
    bundle="b",
    since="2018-08-27",
    onset="2018-08-24",
    findings=(
        Finding("score", 1.5, 0.2, "extreme", "PSI of the score 1.500, limit 0.2 (extreme)", "2018-08-29"),
        Finding("amount", 0.3, 0.2, "major", "PSI of amount 0.300, limit 0.2 (major)", "2018-08-29"),
    ),
    peaks={"score": "extreme", "amount": "major"},
)
ALARM = MonitoringVerdict(
    as_of="2018-08-29", is_alarm=True, reason=TRAFFIC.reason, onset="2018-08-24", new_positives=60, champion="b",
    champion_trained_until="2018-08-01", traffic=TRAFFIC, performance=None, standing=STANDING,
)  # fmt: skip
PERFORMANCE = PerformanceVerdict(
    window_start="2018-08-15", window_end="2018-08-22", positives=100, has_verdict=True, is_alarm=True, recall=0.17,
    promised=0.5, required=0.35, reason="recall at capacity 0.170 is below 0.350",
)  # fmt: skip
LOAD = LoadVerdict(
    as_of="2018-08-29", champion="b", days=7, cards=7000, reviewed_cards=630, declined_cards=301, review_capacity=100,
    decline_capacity=20, exceeded=("declined",), reason="43.0 entities a day declined, above 20",
)  # fmt: skip
REQUESTS = DayOfRequests(day=DAY, decisions=980, refused={"InvalidRequest": 20})
MATCHING = DayOfDecisions(day=DAY, decisions=980, unmatched=3, repeated=2, failed=1, transactions=1000, undecided=25)


def write_evidence(evidence: EvidenceStore, champion: str) -> None:
    """Evidence of a day on which everything is wrong with a champion."""
    evidence.write_drift(dataclasses.replace(ALARM, champion=champion))
    evidence.write_live_performance(AS_OF, PERFORMANCE)
    evidence.write_decision_load(dataclasses.replace(LOAD, champion=champion))
    evidence.write_requests(REQUESTS)
    evidence.write_matching(MATCHING)
    for number, is_passed in enumerate((True, True, False)):
        verdict = Verdict(gate="rows", is_passed=is_passed, summary="")
        evidence.write_gates(GateEvidence(MODEL, f"{number}" * 64, "d" * 64, "2018-08-29", (verdict,)))


def judge(store: SmallStore) -> str:
    """Publish a model and write such evidence of it; the digest of its bundle."""
    champion = store.publish(1).champion.bundle_digest
    write_evidence(EvidenceStore(store.settings.evidence_dir, MODEL), champion)
    return champion
