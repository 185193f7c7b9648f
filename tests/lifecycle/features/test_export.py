"""Handing features out."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.features import export
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from tests.harness.features_generated import RawRows


def test_the_columns_are_the_id_and_the_models_features_in_schema_order(
    lifecycle_home: Settings, raw_rows: RawRows, tmp_path: Path
) -> None:
    written = export(lifecycle_home, tmp_path / "new" / "features.parquet", model="card_fraud")
    table = pq.read_table(written.path)
    assert tuple(table.column_names) == ("transaction_id", *read_model("card_fraud").feature_names)
    assert table.column("transaction_id").to_pylist() == list(range(raw_rows.transactions.num_rows))
    assert written.rows == table.num_rows
    assert [path.name for path in written.path.parent.iterdir()] == ["features.parquet"]


def test_columns_can_be_named(lifecycle_home: Settings, tmp_path: Path) -> None:
    written = export(lifecycle_home, tmp_path / "some.parquet", columns=["terminal_id", "amount"], model="card_fraud")
    assert pq.read_schema(written.path).names == ["transaction_id", "terminal_id", "amount"]


def test_a_column_that_the_mart_lacks_is_named_and_the_old_file_stays(lifecycle_home: Settings, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    out.write_bytes(b"old")
    with pytest.raises(LifecycleError, match=r"Expected columns of marts.card_transaction_features, got \['amonut'\]"):
        export(lifecycle_home, out, columns=["amonut"], model="card_fraud")
    assert out.read_bytes() == b"old"


def test_features_that_were_not_built_are_told_how_to_be(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="run `lifecycle features build`"):
        export(Settings(home=tmp_path / "home"), tmp_path / "features.parquet", model="card_fraud")


def test_a_folder_that_cannot_be_written_is_named(lifecycle_home: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LifecycleError, match="Expected to write"):
        export(lifecycle_home, tmp_path / "file" / "features.parquet", model="card_fraud")
