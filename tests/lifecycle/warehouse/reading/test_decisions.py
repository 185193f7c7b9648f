"""The decision log in either warehouse: what counts as a decision, and what traffic and performance are made of."""

import datetime as dt
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lifecycle.modelling.evaluation import Reviewed
from lifecycle.monitoring.accounts import DayOfDecisions, RefusalKind
from lifecycle.monitoring.live_performance import own_answers
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.interface import Definition
from lifecycle.warehouse.reading import decisions
from lifecycle.warehouse.reading.accounts import day_accounts
from lifecycle.warehouse.reading.daily_loads import daily_loads
from lifecycle.warehouse.reading.decisions import (
    DECISIONS,
    LoadedDecisions,
    daily_decisions,
    load_decisions,
    read_decisions,
    sampled_traffic,
    traffic_batches,
)
from lifecycle.warehouse.reading.examples import MARTS, known_positives
from lifecycle.warehouse.reading.refusals import daily_refusals
from serving.contract.documents import DecisionRecord
from serving.log.segments import line_of, segment_name
from tests.harness.logs import DAY, MOMENT, NEXT_DAY, line, make_log, rejection


@pytest.fixture
def spec() -> RiskModelSpec:
    return read_model("card_fraud")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return make_log(tmp_path)


def rows(warehouse: Warehouse) -> list[tuple[str, str, str | None]]:
    found = warehouse.query(f"select decision_id, slot, error from {DECISIONS} order by 1, 2, 3 nulls last")
    return [(row["decision_id"], row["slot"], row["error"]) for row in found.to_pylist()]


def test_each_decision_counts_once_whoever_answered_and_shadows_stand_beside_it(
    warehouse: Warehouse, log: Path
) -> None:
    assert load_decisions(warehouse, log) == LoadedDecisions(6, 5, 1)
    assert rows(warehouse) == [
        ("d1", "champion", None),
        ("d1", "shadow", None),
        ("d2", "canary", None),
        ("d3", "champion", "ScoringError"),
        ("d3", "champion", None),
    ]
    assert load_decisions(warehouse, log) == LoadedDecisions(0, 0)
    assert daily_decisions(warehouse, "card_fraud", DAY, NEXT_DAY) == {DAY: 3}


@pytest.mark.long
@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_a_log_loaded_in_parts_is_loaded_as_one(
    warehouse: Warehouse, log: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    rows_of = decisions._rows
    monkeypatch.setattr(decisions, "LOADED_AT_ONCE", at_once)

    def counted(records: list[DecisionRecord]) -> pa.Table:
        held.append(len(records))
        return rows_of(records)

    monkeypatch.setattr(decisions, "_rows", counted)
    assert load_decisions(warehouse, log) == LoadedDecisions(6, 5, 1)
    assert max(held) <= at_once
    assert [row[:2] for row in rows(warehouse)] == [
        ("d1", "champion"), ("d1", "shadow"), ("d2", "canary"), ("d3", "champion"), ("d3", "champion"),
    ]  # fmt: skip
    assert load_decisions(warehouse, log) == LoadedDecisions(0, 0)


def test_a_loss_is_reported_again_by_a_load_that_was_killed_before_its_last_part(
    warehouse: Warehouse, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log / "worker-1" / segment_name(2)).write_bytes(line("d4"))
    (log / "worker-1" / segment_name(1)).unlink()
    monkeypatch.setattr(decisions, "LOADED_AT_ONCE", 2)
    store, parts = decisions._store_part, []

    def killed(*arguments: Any) -> None:
        store(*arguments)
        parts.append(arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "_store_part", killed)
        with pytest.raises(KeyboardInterrupt):
            load_decisions(warehouse, log)
    assert len(parts) == 1
    assert load_decisions(warehouse, log).losses.segments == (f"worker-1/{segment_name(1)}",)
    assert load_decisions(warehouse, log).losses.segments == ()


@pytest.mark.long
def test_the_memory_of_a_load_does_not_grow_with_the_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "LOADED_AT_ONCE", 500)
    peaks = []
    for number, records in enumerate((2_000, 8_000), start=1):
        log = tmp_path / f"log-{number}"
        log.mkdir()
        lines = [line(f"{number}-{each}", features=(0.5,) * 50) for each in range(records)]
        (log / segment_name(1)).write_bytes(b"".join(lines))
        del lines
        warehouse = open_warehouse(settings.model_copy(update={"home": tmp_path / f"home-{number}"}))
        tracemalloc.start()
        assert load_decisions(warehouse, log).inserted == records
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_the_cards_of_a_day_are_counted_once_by_the_answers_that_they_got(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(
        line("d1", entity_key="a" * 64, decision="decline")
        + line("d2", entity_key="a" * 64, decision="approve")
        + line("d3", entity_key="b" * 64, decision="review", slot="canary")
        + line("d4", entity_key="c" * 64, decision="approve")
        + line("d5", entity_key="c" * 64, decision="decline", slot="shadow")
        + line("d6", entity_key="d" * 64, error="ScoringError", margin=None, score=None, decision=None)
    )
    load_decisions(warehouse, tmp_path)
    [(day, load)] = daily_loads(warehouse, "card_fraud", DAY, NEXT_DAY).items()
    assert (day, load.cards, load.reviewed_cards, load.declined_cards) == (DAY, 3, 2, 1)
    assert load.champion is not None
    assert daily_loads(warehouse, "card_fraud", NEXT_DAY, NEXT_DAY + dt.timedelta(days=1)) == {}


def test_a_day_of_two_champions_names_none(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1", bundle_digest="1" * 64) + line("d2", bundle_digest="2" * 64))
    load_decisions(warehouse, tmp_path)
    [load] = daily_loads(warehouse, "card_fraud", DAY, NEXT_DAY).values()
    assert load.champion is None


def test_a_repeat_that_comes_with_a_later_load_is_not_counted_again(warehouse: Warehouse, log: Path) -> None:
    load_decisions(warehouse, log)
    before = rows(warehouse)
    with (log / "worker-0" / segment_name(1)).open("ab") as segment:
        segment.write(line("d2", transaction_id="2") + line("d1", transaction_id="1", slot="shadow"))
    assert load_decisions(warehouse, log) == LoadedDecisions(2, 0)
    assert rows(warehouse) == before


def test_rejections_alone_are_counted_once(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line_of(rejection()))
    assert load_decisions(warehouse, tmp_path) == LoadedDecisions(0, 0, 1)
    assert load_decisions(warehouse, tmp_path) == LoadedDecisions(0, 0, 0)
    reached = warehouse.query("select segment, next_offset from raw.decision_log_offsets").to_pylist()
    assert reached == [{"segment": segment_name(1), "next_offset": len(line_of(rejection()))}]


def test_the_position_in_a_log_of_before_the_workers_stays_true(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1"))
    load_decisions(warehouse, tmp_path)
    with (tmp_path / segment_name(1)).open("ab") as segment:
        segment.write(line("d2"))
    (tmp_path / "worker-0").mkdir()
    (tmp_path / "worker-0" / segment_name(1)).write_bytes(line("d3"))
    assert load_decisions(warehouse, tmp_path) == LoadedDecisions(2, 2)


def make_marts(warehouse: Warehouse, spec: RiskModelSpec, *transactions: str, of_type: str = "bigint") -> None:
    """A mart with these transactions at `MOMENT`, and its outcomes."""
    columns, timestamp = spec.columns, warehouse.dialect.timestamp
    warehouse.ensure(
        [
            Definition(MARTS, f"create schema if not exists {MARTS}"),
            Definition(
                f"{MARTS}.{spec.mart}",
                f"create table {MARTS}.{spec.mart} ({columns.id} {of_type}, {columns.entity} bigint, "
                f"{columns.occurred_at} {timestamp}, {columns.amount} decimal(12, 2))",
            ),
            Definition(
                f"{MARTS}.{spec.label.relation}",
                f"create table {MARTS}.{spec.label.relation} ({columns.id} {of_type}, "
                f"{columns.occurred_at} {timestamp}, {spec.label.reported_at} {timestamp}, "
                f"{spec.label.withdrawn_at} {timestamp})",
            ),
        ]
    )
    with warehouse.transaction("a test") as session:
        for transaction in transactions:
            moment = MOMENT.replace(tzinfo=None).isoformat(sep=" ")
            session.execute(f"insert into {MARTS}.{spec.mart} values ('{transaction}', 7, '{moment}', 1.5)")


def test_answers_are_told_with_their_slot_and_shadows_are_not(
    warehouse: Warehouse, log: Path, spec: RiskModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_marts(warehouse, spec, "1", "2", "3")
    load_decisions(warehouse, log)
    table = read_decisions(warehouse, spec, DAY, NEXT_DAY)
    answers = table.select(["decision_id", "slot"]).to_pylist()
    assert [tuple(row.values()) for row in answers] == [("d1", "champion"), ("d2", "canary"), ("d3", "champion")]
    rows = [row for batch in traffic_batches(warehouse, spec, DAY) for row in batch.to_pylist()]
    assert len(rows) == 3
    monkeypatch.setattr("lifecycle.warehouse.reading.decisions.PART_ROWS", 1)
    parts = [row for batch in traffic_batches(warehouse, spec, DAY) for row in batch.to_pylist()]
    assert sorted(map(repr, parts)) == sorted(map(repr, rows))
    sample = sampled_traffic(warehouse, spec, DAY, NEXT_DAY, 2)
    assert sample.column_names == ["bundle_digest", "features", "score"]
    assert sample.equals(sampled_traffic(warehouse, spec, DAY, NEXT_DAY, 2))
    assert sample.num_rows == 2
    assert [batch.num_rows for batch in traffic_batches(warehouse, spec, NEXT_DAY) if batch.num_rows] == []


def test_a_withdrawn_report_counts_as_of_the_dates_that_knew_it(
    warehouse: Warehouse, log: Path, spec: RiskModelSpec
) -> None:
    make_marts(warehouse, spec, "1", "2", "3")
    load_decisions(warehouse, log)
    with warehouse.transaction("a test") as session:
        session.execute(
            f"insert into {MARTS}.{spec.label.relation} values "
            "('1', '2026-01-31 12:00:00', '2026-02-02 12:00:00', '2026-02-04 00:00:00'), "
            "('1', '2026-01-31 12:00:00', '2026-02-06 12:00:00', null), "
            "('2', '2026-01-31 12:00:00', '2026-02-03 12:00:00', null)"
        )
    known = {
        day: [
            row["decision_id"]
            for row in read_decisions(warehouse, spec, DAY, NEXT_DAY, dt.date(2026, 2, day)).to_pylist()
            if row["is_positive"]
        ]
        for day in range(2, 8)
    }
    # The withdrawal of February 4, 00:00, is known as of the 5th.
    assert known == {2: [], 3: ["d1"], 4: ["d1", "d2"], 5: ["d2"], 6: ["d2"], 7: ["d1", "d2"]}
    counts = [known_positives(warehouse, spec, DAY, NEXT_DAY, dt.date(2026, 2, day)) for day in known]
    assert counts == [len(positives) for positives in known.values()]
    assert read_decisions(warehouse, spec, DAY, NEXT_DAY, dt.date(2026, 2, 7)).num_rows == 3


@pytest.mark.parametrize(
    ("in_mart", "of_type", "logged", "unmatched"),
    [
        (["12"], "bigint", ["12", "0012", "A-17", "12.0", str(2**70)], 4),
        (["0012", "A-17", str(2**70)], "varchar", ["12", "0012", "A-17", str(2**70), str(2**70 + 1)], 2),
    ],
)
def test_identifiers_are_matched_as_texts_and_the_others_are_counted(
    warehouse: Warehouse,
    spec: RiskModelSpec,
    tmp_path: Path,
    in_mart: list[str],
    of_type: str,
    logged: list[str],
    unmatched: int,
) -> None:
    make_marts(warehouse, spec, *in_mart, of_type=of_type)
    lines = [line(f"d-{each}", transaction_id=each) for each in logged]
    (tmp_path / segment_name(1)).write_bytes(b"".join(lines))
    load_decisions(warehouse, tmp_path)
    [day] = day_accounts(warehouse, spec, DAY, NEXT_DAY)
    assert (day.decisions, day.unmatched) == (5, unmatched)
    found = read_decisions(warehouse, spec, DAY, NEXT_DAY).column("decision_id").to_pylist()
    assert sorted(found) == sorted(f"d-{each}" for each in logged if each in in_mart)


def test_each_request_of_a_day_is_in_its_accounts(warehouse: Warehouse, spec: RiskModelSpec, tmp_path: Path) -> None:
    make_marts(warehouse, spec, "1", "2", "3", "4")
    failed = {"error": "ScoringError", "margin": None, "score": None, "decision": None}
    (tmp_path / segment_name(1)).write_bytes(
        line("d1", transaction_id="1")
        + line("d1-again", transaction_id="1")
        + line("d2", transaction_id="2", **failed)
        + line("d2", transaction_id="2")
        + line("d3", transaction_id="3", **failed)
        # A number that is used again, 40 days later, is another transaction.
        + line("d4", transaction_id="4", occurred_at=MOMENT + dt.timedelta(days=40))
        + line("d1", transaction_id="9")
    )
    loaded = load_decisions(warehouse, tmp_path)
    assert loaded.losses.conflicting == 1
    end = DAY + dt.timedelta(days=41)
    accounts = {day.day: day for day in day_accounts(warehouse, spec, DAY, end)}
    assert len(accounts) == 41
    assert accounts[DAY] == DayOfDecisions(DAY, 3, unmatched=0, repeated=1, failed=1, transactions=4, undecided=2)
    reused = DAY + dt.timedelta(days=40)
    assert accounts[reused] == DayOfDecisions(reused, 1, unmatched=1)


def test_a_later_repeat_for_another_transaction_is_counted_as_conflicting(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1", transaction_id="1"))
    load_decisions(warehouse, tmp_path)
    with (tmp_path / segment_name(1)).open("ab") as segment:
        segment.write(line("d1", transaction_id="2") + line("d1", transaction_id="1"))
    loaded = load_decisions(warehouse, tmp_path)
    assert (loaded.repeated, loaded.losses.conflicting) == (2, 1)


def test_refused_requests_are_counted_by_the_day_of_the_event_and_by_cause(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    invalid = {"kind": "InvalidRequest", "status": 422, "model": "card_fraud", "feature": "kind", "fault": "category"}
    version_2 = {"schema_version": 2, **invalid, "occurred_on": dt.date(2025, 12, 31), "count": 3}
    first = line_of(rejection(**version_2)) + line_of(rejection(model="card_fraud")) + line_of(rejection(model=None))
    (tmp_path / segment_name(1)).write_bytes(first)
    assert load_decisions(warehouse, tmp_path).refused == 5
    with (tmp_path / segment_name(1)).open("ab") as segment:
        segment.write(line_of(rejection(**version_2)))
    load_decisions(warehouse, tmp_path)
    assert daily_refusals(warehouse, "card_fraud", dt.date(2025, 12, 1), NEXT_DAY) == {
        dt.date(2025, 12, 31): {RefusalKind("InvalidRequest", "kind", "category"): 6},
        DAY: {RefusalKind("Overloaded"): 1},
    }


@pytest.mark.parametrize(
    ("slots", "capacity", "expected"),
    [
        (["champion"] * 4, 100, (4, 100)),
        (["champion", "champion", "champion", "canary"], 100, (3, 75)),
        (["canary", "canary"], 100, (0, 1)),
        ([], 100, (0, 1)),
    ],
)
def test_the_champion_is_measured_on_its_share_of_cards_and_capacity(
    slots: list[str], capacity: int, expected: tuple[int, int]
) -> None:
    found = own_answers([answers([("b1", slot, 1) for slot in slots])], "b1", Reviewed(capacity=capacity))
    assert (found.own, found.capacity) == expected


def answers(rows: list[tuple[str, str, int]]) -> pa.Table:
    """Answers by bundle, slot and day of January."""
    return pa.table(
        {
            "bundle_digest": pa.array([bundle for bundle, _, _ in rows], pa.string()),
            "slot": pa.array([slot for _, slot, _ in rows], pa.string()),
            "occurred_at": pa.array([dt.datetime(2024, 1, day) for _, _, day in rows], pa.timestamp("us")),  # noqa: DTZ001
            "entity": pa.array(range(len(rows)), pa.int64()),
            "amount": pa.array([1.0] * len(rows)),
            "is_positive": [False] * len(rows),
            "margin": pa.array([0.0] * len(rows)),
            "score": pa.array([0.5] * len(rows)),
        }
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("old", "champion", 1)] * 8 + [("new", "champion", 2)] * 2, (2, 100)),
        ([("old", "champion", 1)] * 8 + [("old", "champion", 2), ("new", "champion", 2)], (1, 50)),
        ([("old", "champion", 1), ("new", "canary", 1)], (0, 1)),
    ],
)
def test_a_champion_is_not_measured_by_what_an_earlier_one_answered(
    rows: list[tuple[str, str, int]], expected: tuple[int, int]
) -> None:
    whole = own_answers([answers(rows)], "new", Reviewed(capacity=100))
    assert (whole.own, whole.capacity) == expected
    assert (
        own_answers(
            [answers([row for row in rows if row[2] == day]) for day in (1, 2, 3)], "new", Reviewed(capacity=100)
        )
        == whole
    )
