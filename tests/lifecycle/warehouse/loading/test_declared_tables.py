"""A table that a folder of models declares: text ids and columns that may be null, on both warehouses."""

import csv
import datetime as dt
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lifecycle.artefacts.training_sets import Selection, TrainingSetStore
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.copying import copy_raw
from lifecycle.warehouse.erasure import erase
from lifecycle.warehouse.loading.erased import key_hash_of
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.loading.staging import LoadRefusedError
from lifecycle.warehouse.out_of_range import remove_out_of_range
from tests.harness.paths import ROOT
from tests.harness.toy_model import spec_with

LOANS = ROOT / "tests" / "harness" / "loans"
PERSON = "c'1\\ä"
"""A client whose id has what SQL could take for its own."""


def moment(day: int, hour: int = 12) -> dt.datetime:
    return dt.datetime(2026, 1, day, hour)  # noqa: DTZ001 - UTC as the warehouse keeps it


COLUMNS: dict[str, Any] = {
    "application_id": ["A-1", "0012", "a'3", "B\\4"],
    "client_id": [PERSON, "c2", "c2", PERSON],
    "applied_at": [moment(1), moment(1), moment(2), moment(3)],
    "limit_amount": ["20000.00", "1.50", "0.00", "7.25"],
    "age": [24, 120, 18, 30],
    "education": ["university", None, "high school", None],
    "first_job_on": [dt.date(1980, 5, 1), None, dt.date(2100, 1, 1), None],
    "has_phone": [True, None, False, True],
    "ratio": [0.1, None, -2.5, 1e-9],
}


@pytest.fixture(autouse=True)
def _loans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    shutil.copytree(LOANS, models / "loans")
    monkeypatch.setenv("LIFECYCLE_MODELS", str(models))


def parquet(path: Path, **replaced: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({**COLUMNS, **replaced}), path)
    return path


def comma_separated(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*COLUMNS.values(), strict=True))
    return path


def rows(warehouse: Warehouse, table: str = "raw.loan_applications") -> list[dict[str, Any]]:
    return warehouse.query(f"select * from {table} order by 1").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("write", [parquet, comma_separated])
def test_every_type_is_loaded_with_its_nulls(warehouse: Warehouse, tmp_path: Path, write: Any) -> None:
    file = tmp_path / "files" / ("loans.parquet" if write is parquet else "loans.csv")
    result = load(warehouse, "loan_applications", write(file))
    assert (result.rows_inserted, [(t.start_date.day, t.end_date.day) for t in result.touched]) == (4, [(1, 4)])
    loaded = {row["application_id"]: row for row in rows(warehouse)}
    for index, name in enumerate(COLUMNS["application_id"]):
        expected = {column: values[index] for column, values in COLUMNS.items()}
        assert loaded[name] == expected | {"limit_amount": Decimal(expected["limit_amount"])}


def test_a_known_row_is_skipped_also_where_it_is_null_and_a_change_is_a_version(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, "loan_applications", parquet(tmp_path / "files" / "a.parquet"))
    again = load(warehouse, "loan_applications", parquet(tmp_path / "files" / "b.parquet", more=[1] * 4))
    assert (again.rows_known, again.rows_corrected) == (4, 0)
    said = ["university", "graduate school", None, None]
    changed = load(warehouse, "loan_applications", parquet(tmp_path / "files" / "c.parquet", education=said))
    assert (changed.rows_known, changed.rows_corrected) == (2, 2)
    versions = {row["application_id"]: row["education"] for row in rows(warehouse, "raw.loan_applications_versions")}
    assert versions == {"0012": "graduate school", "a'3": None}
    with pytest.raises(LoadRefusedError, match=r"1 known application_id with different content .* row 2"):
        load(
            warehouse,
            "loan_applications",
            parquet(tmp_path / "files" / "d.parquet", has_phone=[True, True, False, True]),
        )


def test_bad_rows_are_left_out_by_their_text_keys(warehouse: Warehouse, tmp_path: Path) -> None:
    file, rejected = tmp_path / "files" / "a.parquet", tmp_path / "rejected.csv"
    ids = ["A-1", "a'3", "a'3", " B4"]
    parquet(file, application_id=ids, age=[17, 20, 20, 20])
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "loan_applications", file)
    assert [(problem.got, problem.rows) for problem in refused.value.problems] == [
        ("1 with blanks", (4,)), ("1 smaller", (1,))
    ]  # fmt: skip
    result = load(warehouse, "loan_applications", file, reject_to=rejected, max_rejects=4)
    assert (result.rows_inserted, result.rows_rejected) == (0, 4)
    with rejected.open(newline="") as found:
        reasons = [row["rejected_because"] for row in csv.DictReader(found)]
    assert reasons[0] == "expected numbers of at least 18 in column age, got smaller"
    assert reasons[1:3] == ["expected each application_id once"] * 2


def test_rows_that_refer_to_others_need_them(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse, "loan_applications", parquet(tmp_path / "files" / "a.parquet"))
    path = tmp_path / "files" / "defaults.parquet"
    pq.write_table(pa.table({"application_id": ["0012", "12"], "defaulted_at": [moment(3)] * 2}), path)
    with pytest.raises(LoadRefusedError, match=r"got 1 of unknown loan_applications .*row 2\n.*Load the loan_app"):
        load(warehouse, "loan_defaults", path)
    pq.write_table(pa.table({"application_id": ["0012", "B\\4"], "defaulted_at": [moment(3)] * 2}), path)
    assert load(warehouse, "loan_defaults", path).rows_inserted == 2


@pytest.fixture(params=["duckdb", "snowflake"])
def installed(request: pytest.FixtureRequest) -> Settings:
    """Settings of an empty installation, once of each kind."""
    name = "snowflake_settings" if request.param == "snowflake" else "settings"
    settings: Settings = request.getfixturevalue(name)
    return settings


def filled(settings: Settings, folder: Path) -> Warehouse:
    warehouse = open_warehouse(settings)
    load(warehouse, "loan_applications", parquet(folder / "files" / "a.parquet"))
    defaults = folder / "files" / "defaults.parquet"
    pq.write_table(pa.table({"application_id": ["0012", "B\\4"], "defaulted_at": [moment(3)] * 2}), defaults)
    load(warehouse, "loan_defaults", defaults)
    return warehouse


def test_a_person_with_a_text_id_is_erased_and_stays_away(installed: Settings, tmp_path: Path) -> None:
    warehouse = filled(installed, tmp_path)
    people = tmp_path / "files" / "people.csv"
    people.write_text("customer_id,segment,age_band,sex\n1,a,b,F\n")
    load(warehouse, "customers", people)
    command = ["erase", "--customer", PERSON, "--reason", "asked for it", "--json"]
    several = CliRunner().invoke(app, command)
    assert "Expected the kind of entity, of client, customer" in str(several.exception)
    done = CliRunner().invoke(app, [*command, "--kind", "client"])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["rows"] == {
        "raw.loan_defaults": 1, "raw.loan_applications_versions": 0, "raw.loan_applications": 2,
        **{name: 0 for name in json.loads(done.stdout)["rows"] if name.endswith("decisions")},
    }  # fmt: skip
    assert [row["application_id"] for row in rows(warehouse)] == ["0012", "a'3"]
    assert PERSON not in done.stdout
    key_hash = key_hash_of(installed)
    again = load(
        warehouse, "loan_applications", parquet(tmp_path / "files" / "b.parquet", more=[1] * 4), key_hash=key_hash
    )
    assert (again.rows_erased, again.rows_known) == (2, 2)
    more = tmp_path / "files" / "more.parquet"
    pq.write_table(pa.table({"application_id": ["0012", "B\\4"], "defaulted_at": [moment(4)] * 2}), more)
    assert load(warehouse, "loan_defaults", more, key_hash=key_hash).rows_erased == 1


def test_a_training_set_with_text_ids_loses_the_person_and_is_verified(settings: Settings) -> None:
    spec = spec_with()
    store = TrainingSetStore(settings.training_sets_dir, spec.name)
    examples = pa.record_batch(
        {
            "transaction_id": ["a", "b", "c"],
            "customer_id": [PERSON, "c2", PERSON],
            "occurred_at": pa.array([moment(1), moment(2), moment(3)], pa.timestamp("us")),
            "reported_at": pa.nulls(3, pa.timestamp("us")),
        }
    )
    store.write([examples], spec, Selection(dt.date(2026, 1, 8), dt.date(2026, 1, 1), dt.date(2026, 1, 4)))
    assert list(store.erase(spec, PERSON, "hash").values()) == [2]
    check = store.check(spec, "2026-01-08")
    assert (check.rows, check.rows_erased, check.problem) == (1, 2, None)


@pytest.mark.long
def test_declared_rows_are_copied_and_removed_if_out_of_range(installed: Settings, tmp_path: Path) -> None:
    old = Settings(home=tmp_path / "old", target="duckdb")
    filled(old, tmp_path)
    copied = copy_raw(installed, old.warehouse_path, lambda *_: None)
    assert (copied["raw.loan_applications"], copied["raw.loan_defaults"]) == (4, 2)
    warehouse = open_warehouse(installed)
    with warehouse.session("a row of an earlier version") as session:
        far = "update raw.loan_applications set applied_at = timestamp '9999-01-01' where application_id = ?"
        session.execute(far, ["B\\4"])
    removed = remove_out_of_range(installed, by="test")
    assert removed.rows == {"raw.loan_defaults": 1, "raw.loan_applications": 1}
    assert rows(warehouse)[0]["application_id"] == "0012"


def test_a_file_with_rows_of_a_table_that_is_not_declared_is_not_copied(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Settings(home=tmp_path / "old", target="duckdb")
    filled(old, tmp_path)
    monkeypatch.delenv("LIFECYCLE_MODELS")
    with pytest.raises(
        LifecycleError, match=r"got rows in raw\.loan_applications, raw\.loan_defaults; set LIFECYCLE_M"
    ):
        copy_raw(Settings(), old.warehouse_path, lambda *_: None)


def test_a_table_whose_declaration_changed_is_named(settings: Settings, tmp_path: Path) -> None:
    warehouse = filled(settings, tmp_path)
    declared = settings.models / "loans/dbt/models/staging/sources.yml"
    declared.write_text(declared.read_text().replace("name: ratio", "name: debt_ratio").replace(", ratio]", "]"))
    with pytest.raises(
        LifecycleError, match=r"missing \['debt_ratio'\], not declared \['ratio'\]: .* - in .*sources\.yml"
    ):
        load(warehouse, "loan_applications", parquet(tmp_path / "files" / "e.parquet"))


def test_an_erasure_of_an_unknown_kind_is_refused(settings: Settings) -> None:
    with pytest.raises(LifecycleError, match="got 'clint'; did you mean client"):
        erase(settings, "1", by="test", reason="asked", kind="clint")
    with pytest.raises(LifecycleError, match="Expected a whole number"):
        erase(settings, PERSON, by="test", reason="asked", kind="customer")
