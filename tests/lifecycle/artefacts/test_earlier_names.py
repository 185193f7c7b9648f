"""Documents that an earlier version wrote are read under today's names, and damaged ones are refused."""

import json
from pathlib import Path

import msgspec
import pytest

from lifecycle.artefacts.earlier_names import decode_document
from lifecycle.artefacts.evidence import read_evidence
from lifecycle.errors import LifecycleError
from lifecycle.modelling.curves import Curves
from lifecycle.monitoring.live_performance import PerformanceVerdict

EARLIER = {
    "window_start": "2026-01-01", "window_end": "2026-01-08", "frauds": 31, "has_verdict": True, "is_alarm": False,
    "recall": 0.5, "promised": 0.6, "required": 0.4, "reason": "",
}  # fmt: skip
CURVES = {
    "roc": {}, "precision_recall": {}, "calibration": {"fraud_share": [0.25]},
    "histogram": {"genuine": [3.0], "fraud": [1.0]},
}  # fmt: skip


class Training(msgspec.Struct):
    """Part of what a training measured."""

    frauds_or_positives: int = msgspec.field(name="positives")
    curves: Curves


def test_evidence_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "2026-01-15.json"
    file.write_text(json.dumps(EARLIER))
    assert read_evidence(file, PerformanceVerdict).positives == 31


def test_names_inside_a_document_are_read() -> None:
    curves = decode_document(json.dumps({"frauds": 4, "curves": CURVES}).encode(), Training).curves
    assert curves.calibration == {"positive_share": [0.25]}
    assert curves.histogram == {"negative": [3.0], "positive": [1.0]}


def test_a_damaged_document_is_refused_by_its_own_fault(tmp_path: Path) -> None:
    file = tmp_path / "2026-01-15.json"
    file.write_text(json.dumps(EARLIER | {"frauds": "many"}))
    with pytest.raises(LifecycleError, match=r"positives.*2026-01-15\.json"):
        read_evidence(file, PerformanceVerdict)
