"""A folder of files: those of one layout are read by one statement, with the result of reading them one by one."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.duckdb.warehouse import DuckDBSession
from lifecycle.warehouse.loading import staging
from lifecycle.warehouse.loading.load import LoadResult, load
from lifecycle.warehouse.loading.staging import LoadRefusedError

NAMES = ["transaction_id", "occurred_at", "customer_id", "terminal_id", "amount"]


def row(number: int, amount: str = "1.50") -> list[str]:
    return [str(number), f"2026-01-{number % 28 + 1:02d} 10:00:00", "7", "70", amount]


def csv(path: Path, numbers: list[int], *, end: str = "\n", delimiter: str = ",", start: str = "") -> None:
    lines = [delimiter.join(NAMES), *(delimiter.join(row(number)) for number in numbers), ""]
    content = (start + end.join(lines)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def parquet(path: Path, numbers: list[int], names: list[str] | None = None, **more: list[Any]) -> None:
    rows = [dict(zip(NAMES, row(number), strict=True)) for number in numbers]
    table = pa.table({name: [each[name] for each in rows] for name in names or NAMES} | more)
    pq.write_table(table, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of eight layouts in 14 files; ids from 1 to 27."""
    made = tmp_path / "rows"
    made.mkdir()
    csv(made / "a1.csv", [1, 2])
    csv(made / "a2.csv", [3], end="\r\n")
    csv(made / "a3.csv", [], start="\ufeff")
    csv(made / "a4.csv", [4, 5, 6], end="\r")
    csv(made / "b1.csv", [7, 8], delimiter=";")
    csv(made / "b2.csv", [9], delimiter=";")
    csv(made / "c1.csv.gz", [10, 11])
    csv(made / "c2.csv.gz", [12])
    parquet(made / "d1.parquet", [13, 14, 15])
    parquet(made / "d2.parquet", [16])
    parquet(made / "d3 [x]*.parquet", [17, 18])
    parquet(made / "e1.parquet", [19, 20], [*reversed(NAMES)])
    parquet(made / "f1.parquet", [21, 22], file_index=[5, 6], filename=["x", "y"])
    parquet(made / "f2.parquet", [23, 24, 25, 26, 27], file_index=[5] * 5, filename=["x"] * 5)
    return made


def kept(warehouse: Warehouse) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = warehouse.query(f"select {', '.join(NAMES)} from raw.card_transactions order by 1").to_pylist()
    files = warehouse.query("select * exclude (loaded_at) from raw.loads order by source_name").to_pylist()
    return rows, files


@pytest.mark.parametrize(("files", "size"), [(100, 2**26), (2, 2**26), (1, 2**26), (100, 200)])
def test_every_row_counts_for_its_file(
    warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch, files: int, size: int
) -> None:
    monkeypatch.setattr(staging, "FILES_AT_ONCE", files)
    monkeypatch.setattr(staging, "BYTES_AT_ONCE", size)
    steps: list[tuple[str, int, int]] = []
    result: LoadResult = load(warehouse, "card_transactions", folder, progress=lambda *step: steps.append(step))
    assert (result.files, result.rows_inserted) == (14, 27)
    rows, loads = kept(warehouse)
    assert [each["transaction_id"] for each in rows] == list(range(1, 28))
    assert {each["source_name"]: each["rows_read"] for each in loads} == {
        "a1.csv": 2, "a2.csv": 1, "a3.csv": 0, "a4.csv": 3, "b1.csv": 2, "b2.csv": 1, "c1.csv.gz": 2, "c2.csv.gz": 1,
        "d1.parquet": 3, "d2.parquet": 1, "d3 [x]*.parquet": 2, "e1.parquet": 2, "f1.parquet": 2, "f2.parquet": 5,
    }  # fmt: skip
    done = [done for name, done, total in steps if name == "reading" and total == 14]
    assert (done, done[0], done[-1]) == (sorted(done), 0, 14)


def test_files_of_one_layout_are_read_by_one_statement(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for number in range(30):
        parquet(folder / f"{number:02d}.parquet", [number + 1])
    statements: list[str] = []
    execute = DuckDBSession.execute

    def counted(self: DuckDBSession, sql: str, *arguments: Any) -> None:
        statements.append(sql)
        execute(self, sql, *arguments)

    monkeypatch.setattr(DuckDBSession, "execute", counted)
    assert load(warehouse, "card_transactions", folder).rows_inserted == 30
    assert len([sql for sql in statements if sql.startswith(f"insert into {staging.STAGED}")]) == 1


@pytest.mark.parametrize("name", ["a2.csv", "b2.csv", "c2.csv.gz", "d2.parquet", "f2.parquet"])
def test_a_file_that_does_not_parse_is_named(warehouse: Warehouse, folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    torn = gzip.compress(gzip.decompress(whole) + b'13,"x') if name.endswith(".gz") else whole + b'13,"x'
    if name.endswith(".parquet"):
        # The footer is kept, the pages are not.
        torn = whole[:4] + bytes(len(whole[4:-600])) + whole[-600:]
    (folder / name).write_bytes(torn)
    with pytest.raises(LifecycleError, match=r"Expected a complete, readable file") as refused:
        load(warehouse, "card_transactions", folder)
    assert f"{folder / name}. Nothing was loaded" in str(refused.value)
    assert kept(warehouse) == ([], [])


def test_a_faulty_row_is_told_with_its_file_and_number(warehouse: Warehouse, folder: Path) -> None:
    for number, name in enumerate(("g1.csv", "g2.csv", "g3.csv")):
        rows = [row(30 + 3 * number + each) for each in range(3)]
        rows[2][4] = "-1" if number else "1"
        (folder / name).write_text("\n".join([",".join(NAMES), *map(",".join, rows), ""]))
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "card_transactions", folder)
    [problem] = refused.value.problems
    assert (problem.got, problem.where, problem.rows) == ("2 negative", "g2.csv", (3,))
    rejects = folder.parent / "rejects.csv"
    result = load(warehouse, "card_transactions", folder, reject_to=rejects, max_rejects=2)
    assert (result.rows_inserted, result.rows_rejected) == (34, 2)
    assert [line.split(",")[:2] for line in rejects.read_text().splitlines()[1:]] == [["g2.csv", "3"], ["g3.csv", "3"]]


def test_a_file_that_changes_during_the_load_is_named(
    warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(step: str, done: int, _total: int) -> None:
        if (step, done) == ("reading", 0):
            csv(folder / "a2.csv", [3, 40])

    with pytest.raises(LifecycleError, match=r"stay unchanged during the load, got a change - at .*a2\.csv"):
        load(warehouse, "card_transactions", folder, progress=change)
    assert kept(warehouse) == ([], [])
