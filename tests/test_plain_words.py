"""Words that our English does without are in no message, document or comment."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.harness.paths import ROOT

AVOIDED = re.compile(r"(?i:\b(whoever|nobody|anew|mends?|mended|is told|is said)\b)|\b([Ii]s|[Aa]re) none\b")
"""`is none` is no English sentence; `is None` is Python."""
PLACES = ("lifecycle", "serving", "dbt_project", "docs", "README.md", "CONTRIBUTING.md")
SUFFIXES = {".py", ".md", ".sql", ".yml"}


def files() -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / place
        yield from (path,) if path.is_file() else (each for each in path.rglob("*") if each.suffix in SUFFIXES)


def found_in(text: str) -> list[str]:
    return [match.group() for match in AVOIDED.finditer(text)]


def test_the_search_finds_each_word_and_no_python() -> None:
    assert found_in("Whoever mends it is told. There is none; these are none.\nif x is None: nobody") == [
        "Whoever", "mends", "is told", "is none", "are none", "nobody",
    ]  # fmt: skip
    assert found_in("recommended, amends, someone is toldable, renew") == []


def test_no_file_has_one_of_the_words() -> None:
    searched = sorted(files())
    assert len(searched) > 500
    assert {str(path.relative_to(ROOT)): found for path in searched if (found := found_in(path.read_text()))} == {}
