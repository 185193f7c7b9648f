"""docs/backtesting.md: its commands run on a home that has the dates they name."""

import re
import shlex
from pathlib import Path

import pytest

from tests.harness.paths import ROOT
from tests.harness.toy_home import ToyHome, toy_home

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
MANUAL = (ROOT / "docs" / "backtesting.md").read_text()
DATES = {"2026-10-21": "2024-01-18", "2026-10-27": "2024-01-22"}
"""The manual's dates, and those of the toy model that they stand for."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyHome:
    return toy_home(tmp_path / "home", monkeypatch, rows=16_000)


def test_the_commands_of_the_manual_run(home: ToyHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```bash\n(.*?)```", MANUAL, re.DOTALL)
    backtest, train, compare, release = (shlex.split(line)[1:] for block in blocks for line in block.splitlines())
    printed = home.run(*(_toy(word) for word in backtest))
    assert "Nothing was registered, released or alerted." in printed
    assert "Backtest of toy" in (tmp_path / "backtest.html").read_text()
    shown = home.run(*(_toy(word) for word in train))
    first = next(iter(re.findall(r"Candidate ([0-9a-f]{64})", shown)))
    home.run("train", "toy", "--as-of", "2024-01-23")
    [second] = home.stores.candidates("toy").dates().keys() - {first}
    digests = {"FIRST": first[:12], "SECOND": second[:12]}
    assert "first minus" in home.run(*(digests.get(word, word) for word in compare))
    assert "release 1 is in force" in home.run(*(digests.get(word, _toy(word)) for word in release))


def _toy(word: str) -> str:
    """A word of the manual for the toy model."""
    return DATES.get(word, word).replace("card_fraud", "toy")
