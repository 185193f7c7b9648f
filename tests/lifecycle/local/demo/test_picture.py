"""The picture shows what the demonstration measured."""

import datetime as dt
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.demo import report
from lifecycle.local.demo.picture import RecallTimeline, recall_timeline, write_picture
from lifecycle.local.demo.report import Phase, phases
from lifecycle.local.demo.state import DemoState
from lifecycle.local.demo.timeline import timeline
from lifecycle.modelling.evaluation import Evaluation
from lifecycle.spec.model_files import read_model
from lifecycle.warehouse import Warehouse

SPEC = read_model("card_fraud", "demo")
DAYS = timeline(SPEC, dt.date(2026, 11, 20))
STATE = DemoState(
    first_started=dt.date(2026, 11, 20),
    seed=7,
    alarmed_as_of=DAYS.change_day + dt.timedelta(days=2),
    retrained_as_of=DAYS.change_day + dt.timedelta(days=9),
    released_from=DAYS.change_day + dt.timedelta(days=10),
)
QUIET_DAY = DAYS.live_start + dt.timedelta(days=2)
"""A day without frauds."""


def decisions() -> pa.Table:
    """Made-up decisions of the live days, a tenth of them frauds that the scores only half know."""
    generator = np.random.default_rng(3)
    rows, days = 12_000, (DAYS.end_day - DAYS.live_start).days
    occurred = np.datetime64(DAYS.live_start.isoformat(), "us") + generator.integers(0, days * 86_400, rows).astype(
        "timedelta64[s]"
    )
    is_fraud = (generator.random(rows) < 0.1) & (occurred.astype("datetime64[D]") != np.datetime64(QUIET_DAY))
    scores = np.clip(generator.random(rows) + 0.4 * is_fraud * generator.integers(0, 2, rows), 0, 1)
    return pa.table(
        {
            "occurred_at": pa.array(occurred),
            "entity": pa.array(generator.integers(0, 300, rows)),
            "amount": pa.array(generator.random(rows)),
            "is_positive": pa.array(is_fraud),
            "margin": pa.array(scores),
            "score": pa.array(scores),
        }
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[RecallTimeline, list[Phase]]:
    table = decisions()

    def read(_: Warehouse, __: Any, start: dt.date, end: dt.date, as_of: dt.date) -> pa.Table:
        days = table["occurred_at"].cast(pa.date32())
        return table.filter(pc.and_(pc.greater_equal(days, start), pc.less(days, end)))

    monkeypatch.setattr(report, "read_decisions", read)
    warehouse = cast("Warehouse", None)
    found = phases(warehouse, SPEC, DAYS, STATE)
    return recall_timeline(warehouse, SPEC, DAYS, STATE, found), found


def test_the_days_recalls_add_up_to_the_phases_that_the_demonstration_prints(
    measured: tuple[RecallTimeline, list[Phase]],
) -> None:
    shown, found = measured
    assert shown.phases == tuple(found)
    table = decisions().filter(decisions()["is_positive"])
    days = table["occurred_at"].cast(pa.date32()).to_pylist()
    for phase in found:
        frauds = {day: days.count(day) for day in shown.daily if phase.start <= day < phase.end}
        caught = sum(shown.daily[day] * count for day, count in frauds.items())
        assert sum(frauds.values()) == phase.frauds
        assert caught / phase.frauds == pytest.approx(phase.recall)


def test_the_moments_are_the_states_and_a_day_without_frauds_has_no_bar(
    measured: tuple[RecallTimeline, list[Phase]],
) -> None:
    shown, found = measured
    assert shown.moments == {
        "fraud changes": DAYS.change_day,
        "alarm": STATE.alarmed_as_of,
        "retraining": STATE.retrained_as_of,
        "new release": STATE.released_from,
    }
    assert QUIET_DAY not in shown.daily
    assert len(shown.daily) == (found[-1].end - found[0].start).days - 1


def test_the_picture_is_written_below_the_home(measured: tuple[RecallTimeline, list[Phase]], tmp_path: Path) -> None:
    path = write_picture(measured[0], 20, tmp_path / "reports" / "demo")
    assert path == tmp_path / "reports" / "demo" / "recall.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_days_without_frauds_are_an_error_of_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> Evaluation | None:
        return None

    monkeypatch.setattr(report, "recall_of", nothing)
    with pytest.raises(LifecycleError, match="Expected frauds among the decisions"):
        phases(cast("Warehouse", None), SPEC, DAYS, STATE)
