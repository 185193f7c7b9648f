"""Records over the destination's limit: set aside, counted, shown, and shipped once the limit allows."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from serving.log.segments import segment_name, segment_paths
from serving.log.shipping.limited_log import LimitedLog
from serving.log.shipping.quarantine import MAX_RECORDS, quarantine_path
from serving.log.shipping.shipper import Shipper
from serving.log.shipping.sink import OversizedLine, ShippingError
from serving.log.verify import verify_log
from tests.harness.logs import line, write

BIG = "d" * 400


class Limited:
    """A sink that refuses lines over a limit."""

    def __init__(self, limit_bytes: int = 600, destination: str = "memory") -> None:
        self.limit_bytes = limit_bytes
        self.destination = destination
        self.shipped: list[tuple[str, int, bytes]] = []

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> Sequence[OversizedLine]:
        oversized = []
        for index, each in enumerate(lines):
            if len(each) > self.limit_bytes:
                oversized.append(OversizedLine(index, self.limit_bytes))
            else:
                self.shipped.append((segment_name, offset, each))
            offset += len(each)
        return oversized

    def finish(self, segment_name: str, seal: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def started(log: Path, sink: Limited, retention_days: float | None = None) -> Shipper:
    """A server's first attempt to ship; the shipper is stopped."""
    shipper = Shipper(log, [log], sink, retention_days=retention_days)
    shipper.open()
    try:
        shipper.advance()
    finally:
        shipper.stop()
    return shipper


def test_what_follows_is_shipped_and_the_record_too_once_the_limit_is_raised(tmp_path: Path) -> None:
    write(tmp_path, ["d1", BIG, "d3"])
    sink = Limited()
    shipper = started(tmp_path, sink, retention_days=0)
    first, big, third = line("d1"), line(BIG), line("d3")
    name = segment_name(1)
    assert sink.shipped == [(name, 0, first), (name, len(first) + len(big), third)]
    assert shipper.shipped_records == 2
    [record] = shipper.quarantined
    assert (record.segment, record.byte, record.bytes, record.limit_bytes) == (name, len(first), len(big), 600)
    assert segment_paths(tmp_path) == [], "the segment may be deleted"
    assert quarantine_path(tmp_path, record).read_bytes() == big
    report = verify_log(tmp_path)
    assert report.is_whole
    assert report.quarantined == (record,)
    sink.limit_bytes = 10_000
    assert started(tmp_path, sink).quarantined == []
    assert sink.shipped[2:] == [(name, len(first), big)]
    assert not quarantine_path(tmp_path, record).exists()
    assert started(tmp_path, sink).shipped_records == 0


def test_a_record_without_its_file_is_damage(tmp_path: Path) -> None:
    write(tmp_path, ["d1", BIG])
    [record] = started(tmp_path, Limited()).quarantined
    path = quarantine_path(tmp_path, record)
    genuine = path.read_bytes()
    path.write_bytes(genuine.replace(b"dd", b"de", 1))
    [damage] = verify_log(tmp_path).damages
    assert (damage.segment, damage.byte) == (record.segment, record.byte)
    assert "its file is damaged: a wrong checksum" in damage.problem
    path.unlink()
    assert "its file is missing" in verify_log(tmp_path).damages[0].problem
    assert started(tmp_path, Limited(10_000)).quarantined == [record], "it is not forgotten either"


def test_a_crash_before_the_cursor_sets_the_record_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ["d1", BIG, "d3"])

    def fails(*_: object) -> None:
        raise OSError("the cursor's disk fails")

    with monkeypatch.context() as patch:
        patch.setattr("serving.log.shipping.folder.write_cursor", fails)
        with pytest.raises(OSError, match="the cursor's disk fails"):
            started(tmp_path, Limited())
    sink = Limited()
    assert len(started(tmp_path, sink).quarantined) == 1
    assert [each for _, _, each in sink.shipped] == [line("d1"), line("d3")]
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


def test_a_limit_that_many_records_exceed_stops_the_shipping(tmp_path: Path) -> None:
    write(tmp_path, [f"{index:03d}{BIG}" for index in range(MAX_RECORDS + 1)])
    sink = Limited()
    shipper = Shipper(tmp_path, [tmp_path], sink, batch_bytes=10_000)
    shipper.open()
    with pytest.raises(ShippingError, match=f"{MAX_RECORDS} records are in quarantine already") as raised:
        shipper.advance()
    assert raised.value.cause == "record_size"
    assert len(shipper.quarantined) <= MAX_RECORDS
    sink.limit_bytes = 10_000
    shipper.advance()
    shipper.stop()
    assert len(sink.shipped) == MAX_RECORDS + 1, "nothing is lost"


def test_another_destination_gets_the_record_with_its_segment(tmp_path: Path) -> None:
    write(tmp_path, ["d1", BIG])
    assert len(started(tmp_path, Limited()).quarantined) == 1
    other = Limited(10_000, destination="another")
    assert started(tmp_path, other).quarantined == []
    assert [each for _, _, each in other.shipped] == [line("d1"), line(BIG)]


def test_a_cause_gets_one_line_a_minute_with_the_number_of_those_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("serving.log.shipping.limited_log.time.monotonic", lambda: now)
    limited = LimitedLog(logging.getLogger("test"))
    for second in range(121):
        now = float(second)
        limited.write(logging.WARNING, "away", "nothing answers")
    limited.write(logging.WARNING, "access", "refused")
    assert [entry.getMessage() for entry in caplog.records] == [
        "nothing answers",
        "nothing answers (59 more in the 60 s before)",
        "nothing answers (59 more in the 60 s before)",
        "refused",
    ]
