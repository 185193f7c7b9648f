import datetime as dt
from typing import Any

import pytest

from lifecycle.gates.champion import AskedRun, backtest_reason, champion_for, newest_as_of
from serving.contract.documents import SCHEMA_VERSION, Release, SlotRelease


def history(*as_ofs: str) -> list[Release]:
    return [
        Release(
            schema_version=SCHEMA_VERSION,
            model="card_fraud",
            number=number,
            predecessor=None,
            champion=SlotRelease(bundle_digest=f"b{number}", as_of=as_of),
            released_at=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            released_by="test",
            reason="test",
        )
        for number, as_of in enumerate(as_ofs, start=1)
    ]


@pytest.mark.parametrize(
    ("as_ofs", "as_of", "champion", "stops"),
    [
        ((), "2024-01-10", None, False),
        (("2024-01-10",), "2024-01-17", "b1", False),
        (("2024-01-10",), "2024-01-10", "b1", True),
        (("2024-01-10",), "2024-01-09", None, True),
        (("2024-01-03", "2024-01-10"), "2024-01-17", "b2", False),
        (("2024-01-03", "2024-01-10"), "2024-01-09", "b1", True),
        (("2024-01-03", "2024-01-10", "2024-01-03"), "2024-01-12", "b3", False),
        (("2024-01-03", "2024-01-10", "2024-01-03"), "2024-01-10", "b3", True),
        (("2024-01-03", "2024-01-10", "2024-01-03"), "2024-01-05", "b3", True),
        (("2024-01-03", "2024-01-10", "2024-01-17"), "2024-01-17", "b3", True),
        (("2024-01-03", "2024-01-10", "2024-01-17"), "2024-01-12", "b2", True),
    ],
)
def test_a_candidate_is_compared_with_the_champion_of_its_date(
    as_ofs: tuple[str, ...], as_of: str, champion: str | None, stops: bool
) -> None:
    found = champion_for(history(*as_ofs), as_of)
    assert (found.bundle_digest if found else None) == champion
    assert (backtest_reason(history(*as_ofs), AskedRun(as_of)) is not None) == stops


@pytest.mark.parametrize(
    ("as_ofs", "asked", "reason"),
    [
        ((), {}, None),
        ((), {"newest_as_of": "2024-01-10"}, None),
        ((), {"newest_as_of": "2024-01-09"}, None),
        ((), {"newest_as_of": "2024-01-11"}, "there is no champion, and the data allow a newer date, 2024-01-11"),
        ((), {"newest_as_of": "2024-01-11", "is_first_release_asked": True}, None),
        (("2024-01-03",), {"newest_as_of": "2024-01-11"}, None),
        (("2024-01-10",), {"is_first_release_asked": True}, "a champion is as of 2024-01-10, which is at least as new"),
        ((), {"is_backfill": True}, "a backfill is a backtest"),
        ((), {"is_backfill": True, "is_first_release_asked": True}, "a backfill is a backtest"),
        (("2024-01-03",), {"is_backfill": True}, "a backfill is a backtest"),
    ],
)
def test_a_backfill_and_a_past_date_only_judge(
    as_ofs: tuple[str, ...], asked: dict[str, Any], reason: str | None
) -> None:
    assert backtest_reason(history(*as_ofs), AskedRun("2024-01-10", **asked)) == reason


def test_a_champion_that_was_rolled_back_still_counts_as_the_newest() -> None:
    assert newest_as_of(history()) is None
    assert newest_as_of(history("2024-01-03", "2024-01-10", "2024-01-03")) == "2024-01-10"
