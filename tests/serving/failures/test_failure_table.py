"""The table of failures in docs/serving.md and the tests of its rows belong together."""

import re

import pytest

from tests.harness.failure_rows import COLUMNS, names_of_tests, rows
from tests.harness.metric_samples import NAMES


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    assert sorted(row.test for row in rows()) == sorted(names_of_tests())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.test)
def test_a_row_says_everything(row: object) -> None:
    cells = {column: str(getattr(row, column)) for column in COLUMNS}
    assert "" not in cells.values()
    assert cells["ready"] in {"yes", "no", "-"}
    assert set(re.findall(r"serving_[a-z_]+", cells["metrics"])) <= NAMES
