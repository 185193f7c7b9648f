"""Compares the table of failures in docs/serving.md with the observations of the tests."""

import ast
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from serving.contract.documents import DecisionRecord, RejectionRecord
from tests.harness.logs import eventually
from tests.harness.paths import ROOT
from tests.harness.small_models import SmallStore

HERE = ROOT / "tests/serving/failures"
DOCUMENT = ROOT / "docs/serving.md"
COLUMNS = ("failure", "caller", "recorded", "ready", "metrics", "remedy", "test")

_STATUS = re.compile(r"\b[1-5]\d\d\b")
_WORD = re.compile(r"`([A-Z]\w+)`")
_SERIES = re.compile(r"`(serving_\w+)(?:\{([^`]*)\})?`")


class Client(Protocol):
    """A client of a server: in another process, in this one, or with a key."""

    def get(self, path: str, /) -> httpx.Response: ...


@dataclass
class Row:
    """One row; the methods compare it with what happens, and `check_complete` asks for what was not compared."""

    failure: str
    caller: str
    recorded: str
    ready: str
    metrics: str
    remedy: str
    test: str
    _statuses: set[str] = field(default_factory=set, init=False)
    _kinds: set[str] = field(default_factory=set, init=False)
    _records: set[str] | None = field(default=None, init=False)
    _is_ready: str | None = field(default=None, init=False)
    _before: dict[str, float] | None = field(default=None, init=False)
    _moved: set[tuple[str, str]] = field(default_factory=set, init=False)

    def begins(self, client: Client) -> None:
        """Read the metrics before the failure."""
        self._before = scrape(client)

    def answers(self, response: httpx.Response) -> httpx.Response:
        """Compare what a caller gets: the status and the kind of error are in the row."""
        self._statuses.add(str(response.status_code))
        assert str(response.status_code) in _STATUS.findall(self.caller), response.text
        if response.status_code >= 400:
            kind = response.json()["error"]["kind"]
            self._kinds.add(kind)
            assert kind in _WORD.findall(self.caller)
        if response.status_code in {429, 503}:
            assert response.headers["retry-after"] == "1"
        return response

    def records(self, store: SmallStore, *decision_ids: str) -> None:
        """Compare what the log holds: the failing decisions' records, and all rejections."""
        words = {_record_words(record) for record in store.decisions() if record.decision_id in decision_ids}
        words |= {_record_words(rejection) for rejection in store.rejections()}
        self._records = words

    def is_ready(self, client: Client) -> dict[str, Any]:
        """Compare what ``/readyz`` says; returns its body."""
        response = client.get("/readyz")
        self._is_ready = {200: "yes", 503: "no"}[response.status_code]
        body: dict[str, Any] = response.json()
        return body

    def moves(self, client: Client) -> None:
        """Wait until each metric of the row has another value than before the failure."""
        assert self._before is not None
        before = self._before

        def are_moved() -> bool:
            now = scrape(client)
            self._moved = {series for series in self._series() if _total(now, *series) != _total(before, *series)}
            return self._moved == set(self._series())

        eventually(are_moved)

    def check_complete(self) -> None:
        """Everything that the row says was seen, and nothing else was."""
        assert self._statuses == set(_STATUS.findall(self.caller))
        assert self._kinds == set(_WORD.findall(self.caller))
        assert self._moved == set(self._series())
        assert (self._is_ready or "-") == self.ready
        expected = {f"{what} {kind}" for what, kind in re.findall(r"(rejection|error) `(\w+)`", self.recorded)}
        expected |= {"decision"} if "decision" in self.recorded else set()
        assert (self._records or set()) == expected
        assert (self._records is None) == (self.recorded == "-")

    def _series(self) -> list[tuple[str, str]]:
        return _SERIES.findall(self.metrics)


def scrape(client: Client) -> dict[str, float]:
    """The server's metrics by series, as Prometheus reads them."""
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def rows() -> list[Row]:
    """The rows of the table: its lines end with the name of a test."""
    rows = []
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(r"`test_\w+`", cells[-1]):
            assert len(cells) == len(COLUMNS), f"Expected {len(COLUMNS)} cells, got {len(cells)} - at {line[:60]}"
            cell_of = dict(zip(COLUMNS, cells, strict=True))
            rows.append(Row(**cell_of | {"test": cell_of["test"].strip("`")}))
    return rows


def row_of(test: str) -> Row:
    """The row that names a test."""
    [row] = [row for row in rows() if row.test == test]
    return row


def names_of_tests() -> list[str]:
    """Names of all tests of failures, read from their source."""
    names: list[str] = []
    for path in sorted(HERE.glob("test_failures_*.py")):
        body = ast.parse(path.read_text()).body
        names += [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return names


def _total(series: dict[str, float], name: str, labels: str) -> float | None:
    """Sum of the series of a metric with these labels; ``None`` if there is none."""
    wanted = re.findall(r'\w+="[^"]*"', labels)
    values = [
        value
        for each, value in series.items()
        if each.partition("{")[0] == name and all(label in each for label in wanted)
    ]
    return sum(values) if values else None


def _record_words(record: DecisionRecord | RejectionRecord) -> str:
    if isinstance(record, RejectionRecord):
        return f"rejection {record.kind}"
    return f"error {record.error}" if record.error else "decision"
