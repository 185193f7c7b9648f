"""A build proves that it touched only what it was asked to."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.features import build, builds, dbt
from lifecycle.features.build_proof import expect_options, expect_untouched, read_contents
from lifecycle.features.dbt import NodeRun
from lifecycle.settings.child_environment import child_environment
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from tests.harness.features_generated import FEATURES_RELATION, FIRST_DAY
from tests.lifecycle.features.conftest import settings_at

DAY = dt.timedelta(days=1)
START, END = dt.date(2018, 5, 10), dt.date(2018, 5, 12)


def model(name: str, materialized: str = "incremental", look_back_days: float | None = None) -> NodeRun:
    meta = {} if look_back_days is None else {"look_back_days": look_back_days}
    relation = {"schema": "marts", "alias": name}
    info = {"node_relation": relation, "materialized": materialized, "meta": meta}
    return NodeRun(f"model.features.{name}", "success", 0.1, event={"data": {"node_info": info}})


FEATURES, OUTCOMES = model("features"), model("outcomes", "table")
BEFORE: dict[str, dict[dt.date | None, str]] = {
    "raw.transactions": {START - DAY: "1", START: "2", END: "3"},
    "marts.features": {START - DAY: "1", START: "2", END: "3"},
    "marts.outcomes": {START: "1"},
    "raw.loads": {None: "4 rows"},
}


def test_the_days_of_the_build_and_whole_tables_may_change() -> None:
    after = BEFORE | {"marts.features": {START - DAY: "1", START: "9", END: "3"}, "marts.outcomes": {}}
    expect_untouched(BEFORE, after, [FEATURES, OUTCOMES], START, END)
    expect_untouched(
        {"raw.loads": {None: "1"}}, {"raw.loads": {None: "1"}, "marts.features": {START: "1"}}, [FEATURES], None, None
    )


def test_a_model_may_change_as_many_days_before_as_it_declares() -> None:
    after = BEFORE | {"marts.features": {START: "2", END: "3"}}
    expect_untouched(BEFORE, after, [model("features", look_back_days=1.0)], START, END)
    with pytest.raises(LifecycleError, match=r"it changed marts\.features on 2018-05-09 as well; restore"):
        expect_untouched(BEFORE, after, [FEATURES], START, END)


@pytest.mark.parametrize(
    ("changed", "violation"),
    [
        ({"marts.features": {START - DAY: "1", START: "2"}}, r"marts\.features on 2018-05-12"),
        ({"raw.transactions": {START - DAY: "1", START: "8", END: "3"}}, r"raw\.transactions on 2018-05-10"),
        ({"raw.loads": {None: "5 rows"}}, r"changed raw\.loads as well"),
        ({"main.tests": {}}, r"changed main\.tests as well"),
    ],
    ids=["day after", "raw day", "table without days", "new table"],
)
def test_any_other_change_is_refused(changed: dict[str, dict[dt.date | None, str]], violation: str) -> None:
    with pytest.raises(LifecycleError, match=violation):
        expect_untouched(BEFORE, BEFORE | changed, [FEATURES, OUTCOMES], START, END)


def test_a_table_that_vanished_is_refused() -> None:
    after = {relation: days for relation, days in BEFORE.items() if relation != "raw.loads"}
    with pytest.raises(LifecycleError, match=r"changed raw\.loads as well"):
        expect_untouched(BEFORE, after, [FEATURES, OUTCOMES], START, END)


@pytest.mark.long
def test_contents_see_a_value_and_a_duplicate_and_no_order(built: Settings) -> None:
    warehouse = open_warehouse(built)
    before = read_contents(warehouse)
    days = before[FEATURES_RELATION]
    assert len(days) > 30
    assert {"raw.card_transactions", "raw.loads", "marts.card_fraud_outcomes"} <= before.keys()
    day = sorted(day for day in days if day)[5]
    update = f"update {FEATURES_RELATION} set amount = amount {{}} 1 where cast(occurred_at as date) = date '{day}'"
    with warehouse.transaction("change a day") as session:
        session.execute(update.format("+"))
    changed = read_contents(warehouse)[FEATURES_RELATION]
    assert [each for each in days if days[each] != changed[each]] == [day]
    with warehouse.transaction("change it back") as session:
        session.execute(update.format("-"))
    assert read_contents(warehouse) == before


def test_an_option_that_dbt_took_from_elsewhere_is_named(tmp_path: Path) -> None:
    expect_options(tmp_path, is_full=False, select=())
    results = tmp_path / "run_results.json"
    results.write_text(json.dumps({"args": {"select": [], "empty": False}}))
    expect_options(tmp_path, is_full=False, select=())
    for options, violation in (
        ({"full_refresh": True}, "full_refresh True instead of False"),
        ({"empty": True}, "empty True instead of False"),
        ({"select": ["marts"]}, r"select \['marts'\] instead of \[\]"),
    ):
        results.write_text(json.dumps({"args": {"select": [], **options}}))
        with pytest.raises(LifecycleError, match=violation):
            expect_options(tmp_path, is_full=False, select=())


@pytest.mark.parametrize("days", [(START, None), (None, END), (START, END)])
def test_a_full_build_of_a_range_is_refused_before_dbt_starts(
    days: tuple[dt.date | None, dt.date | None], tmp_path: Path
) -> None:
    with pytest.raises(LifecycleError, match="Expected --full without a range of days"):
        build(Settings(home=tmp_path), *days, full_refresh=True)
    assert not (tmp_path / "dbt").exists()


@pytest.mark.long
def test_a_build_that_did_more_than_it_was_asked_to_is_an_error(
    built: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leak of one variable of a shell, and days that reach dbt as other days."""
    shutil.copytree(built.root, tmp_path / "home")
    settings = settings_at(tmp_path / "home")
    start, end = FIRST_DAY + 40 * DAY, FIRST_DAY + 41 * DAY
    wider = builds.day_bounds(start, end + DAY)
    with open_warehouse(settings).transaction("spoil the day after") as session:
        session.execute(f"delete from {FEATURES_RELATION} where cast(occurred_at as date) = date '{end}'")
    with monkeypatch.context() as patch:
        patch.setattr(builds, "day_bounds", lambda *_: wider)
        with pytest.raises(LifecycleError, match=f"it changed marts.card_transaction_features on {end} as well"):
            build(settings, start, end)
    monkeypatch.setattr(dbt, "child_environment", lambda: child_environment() | {"DBT_FULL_REFRESH": "true"})
    with pytest.raises(LifecycleError, match="full_refresh True instead of False"):
        build(settings, start, end)
