"""A search reads the log as a stream."""

import datetime as dt
import tracemalloc
from pathlib import Path

from lifecycle.artefacts.log_replay import Scope
from lifecycle.local.audit.log_search import search_log
from serving.log.segments import segment_name
from tests.harness.logs import MOMENT, line, make_log, write

LINES = 40_000


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("other") * LINES + line("wanted") + line("other") * LINES)
    tracemalloc.start()
    found = search_log(tmp_path, "wanted", Scope())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.count, found.records[0].offset) == (1, len(line("other")) * LINES)
    assert peak < 1_000_000


def test_every_workers_records_are_found_in_order(tmp_path: Path) -> None:
    found = search_log(make_log(tmp_path), "d1", Scope())
    assert sorted(one.record.slot for one in found.records) == ["canary", "champion", "shadow"]
    assert {one.segment.partition("/")[0] for one in found.records} == {"worker-0", "worker-1"}


def test_a_segment_outside_the_span_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, ["d1"])
    (tmp_path / segment_name(1)).write_bytes(b"not a log\n")
    scope = Scope(since=MOMENT + dt.timedelta(days=2))
    assert (search_log(tmp_path, "d1", scope).searched, search_log(tmp_path, "d1", scope).skipped) == (0, 1)
    assert search_log(tmp_path, "d1", Scope(until=MOMENT + dt.timedelta(days=2))).searched == 1
