import datetime as dt
from pathlib import Path

import pytest

from lifecycle.artefacts.first_day import FIRST_DAY_FILE, first_loaded_day, record_first_day
from lifecycle.errors import LifecycleError

DAY = dt.date(2024, 3, 1)


def test_a_day_is_a_change_once(tmp_path: Path) -> None:
    assert first_loaded_day(tmp_path) is None
    assert record_first_day(tmp_path, {"loans": DAY})
    assert not record_first_day(tmp_path, {"loans": DAY})
    assert first_loaded_day(tmp_path) == DAY
    assert record_first_day(tmp_path, {"loans": DAY, "cards": dt.date(2023, 1, 1)})
    assert first_loaded_day(tmp_path) == dt.date(2023, 1, 1)
    assert [first_loaded_day(tmp_path, table) for table in ("loans", "cards", "other")] == [
        DAY, dt.date(2023, 1, 1), None
    ]  # fmt: skip


def test_the_day_of_an_earlier_version_counts_for_every_table(tmp_path: Path) -> None:
    (tmp_path / FIRST_DAY_FILE).write_text('{"first_day": "2024-03-01"}')
    assert first_loaded_day(tmp_path, "cards") == first_loaded_day(tmp_path) == DAY


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"first_day": "soon"}', '{"first_day": 5}', '{"first_day": "2024-03-01", "tables": [1]}'],
)
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / FIRST_DAY_FILE).write_text(content)
    expected = rf"Expected the first day of the loaded data.*remove the file.*{FIRST_DAY_FILE}"
    with pytest.raises(LifecycleError, match=expected):
        first_loaded_day(tmp_path)
