import gzip
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from serving.contract.documents import ContractError
from serving.telemetry.span_export import BATCH_SPANS, ExportingTracer, otlp_exporter
from serving.telemetry.tracer import tracer
from serving.telemetry.tracing import SpanAttributes, SpanCounts, Tracer
from serving.wire.trace_parent import TraceParent, parse_traceparent
from tests.harness.paths import ROOT

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
HEADER = f"00-{TRACE_ID}-{PARENT_ID}-01".encode()
PARENT = TraceParent(TRACE_ID, PARENT_ID, is_sampled=True)
ATTRIBUTES = SpanAttributes("card_fraud", "canary", "d" * 64, 7, "decline", 200)


class Collector:
    """An OpenTelemetry collector's HTTP port; `status` is what it answers."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.status = 200
        collector = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.paths.append(self.path)
                if collector.status == 200:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def spans(self) -> list[SentSpan]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


class Recording(SpanExporter):
    """An exporter that keeps what it gets, once it may."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.spans: list[ReadableSpan] = []
        self.sizes: list[int] = []
        self.result = result
        self.may_export = threading.Event()
        self.may_export.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.may_export.wait(20)
        if self.result is SpanExportResult.SUCCESS:
            self.spans.extend(spans)
            self.sizes.append(len(spans))
        return self.result

    def shutdown(self) -> None:
        self.may_export.set()


class Raising(Recording):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("secret")


def exported(exporter: Recording, record: Callable[[ExportingTracer], object]) -> list[ReadableSpan]:
    exporting = ExportingTracer(exporter)
    record(exporting)
    exporting.close()
    return exporter.spans


def wait_until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


# The caller's header.


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER, PARENT),
        (HEADER[:-2] + b"00", PARENT._replace(is_sampled=False)),
        (HEADER[:-2] + b"ff", PARENT),
        (HEADER[:-2] + b"02", PARENT._replace(is_sampled=False)),
        (b"01" + HEADER[2:], PARENT),
        (b"cc" + HEADER[2:] + b"-what the future may bring", PARENT),
        (b"cc" + HEADER[2:] + b"-", PARENT),
        (b"cc" + HEADER[2:] + b".what the future may not bring", None),
        (b"cc" + HEADER[2:] + b"\n", None),
        (b"ff" + HEADER[2:], None),
        (HEADER + b"-more", None),
        (HEADER + b"\n", None),
        (HEADER + b" ", None),
        (b" " + HEADER, None),
        (HEADER[:-1], None),
        (HEADER.upper(), None),
        (HEADER.replace(TRACE_ID.encode(), b"0" * 32), None),
        (HEADER.replace(PARENT_ID.encode(), b"0" * 16), None),
        (HEADER.replace(b"4bf9", b"4bg9"), None),
        (HEADER.replace(b"-", b"_"), None),
        (HEADER.replace(b"00-", b"0x-"), None),
        (HEADER[:-2] + b"0x", None),
        (f"00-{TRACE_ID[:-1]}-{PARENT_ID}0-01".encode(), None),
        (b"", None),
        (None, None),
    ],
)
def test_a_trace_is_read_as_the_standard_says(header: bytes | None, expected: TraceParent | None) -> None:
    assert parse_traceparent(header) == expected


@given(st.binary(max_size=80) | st.text("0123456789abcdefABCDEF-", min_size=50, max_size=60).map(str.encode))
def test_no_header_raises(header: bytes) -> None:
    found = parse_traceparent(header)
    if found is not None:
        assert header.startswith(f"{header[:2].decode()}-{found.trace_id}-{found.parent_id}-".encode())


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_every_valid_header_is_read(trace_id: int, parent_id: int, flags: int) -> None:
    header = f"00-{trace_id:032x}-{parent_id:016x}-{flags:02x}".encode()
    assert parse_traceparent(header) == (f"{trace_id:032x}", f"{parent_id:016x}", bool(flags & 1))


# Which tracer there is.


def test_without_a_collector_nothing_is_recorded() -> None:
    tracing = tracer(environment={})
    assert type(tracing) is Tracer
    tracing.record("score", 1, 2, PARENT, ATTRIBUTES)
    tracing.close()
    assert not tracing.is_on
    assert tracing.counts == SpanCounts()


def test_without_a_collector_opentelemetry_is_not_imported() -> None:
    code = (
        "import sys; from serving.telemetry.tracer import tracer; tracer(environment={});"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT).stdout == b"False\n"


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_opentelemetrys_own_switches_turn_it_off(off: dict[str, str]) -> None:
    assert not tracer("http://127.0.0.1:4318", environment=off).is_on


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_opentelemetrys_own_variables_turn_it_on(name: str) -> None:
    tracing = tracer(environment={name: "http://127.0.0.1:4318"})
    assert tracing.is_on
    tracing.close()


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "Expected http/protobuf, got another protocol; .* OTEL_EXPORTER_OTLP_P",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "Expected http/protobuf, got another protocol; .* OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        ),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, r"Expected valid values, got a ValueError - at the variables"),
    ],
)
def test_a_platforms_variables_that_do_not_suit_cost_the_spans_and_one_line(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not tracer(environment=ENDPOINT | environment).is_on
    [line] = [record.getMessage() for record in caplog.records]
    assert re.match(f"spans are not exported: {expected}", line)


def test_a_platforms_protocol_does_not_concern_the_servers_own_endpoint() -> None:
    tracing = tracer("http://127.0.0.1:4318", environment=ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert tracing.is_on
    tracing.close()


def test_the_most_specific_protocol_holds() -> None:
    protocols = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    tracing = tracer(environment=ENDPOINT | protocols)
    assert tracing.is_on
    tracing.close()


def test_the_servers_own_endpoint_needs_valid_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(ContractError, match=r"at the variables OTEL_\*"):
        tracer("http://127.0.0.1:4318")


def test_a_collector_without_the_extra_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "serving.telemetry.span_export")
    with pytest.raises(ContractError, match=r"endpoint is set, .* install risk-model-lifecycle\[otel\]"):
        tracer("http://127.0.0.1:4318", environment={})
    assert not tracer(environment=ENDPOINT).is_on
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, " in caplog.text


# What a collector gets.


def test_a_decision_arrives_as_a_child_of_the_callers_span(collector: Collector) -> None:
    tracing = tracer(collector.endpoint, environment={})
    tracing.record("score", 1_000, 2_500, parse_traceparent(HEADER), ATTRIBUTES)
    tracing.close()
    [span] = collector.spans
    assert collector.paths == ["/v1/traces"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert (span.name, span.kind) == ("score", SentSpan.SPAN_KIND_SERVER)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000, 2_500)
    values = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
    assert values == {
        "risk.model": "card_fraud",
        "risk.slot": "canary",
        "risk.bundle_digest": "d" * 64,
        "risk.release_number": 7,
        "risk.decision": "decline",
        "http.response.status_code": 200,
    }
    [resource] = [resource.resource for request in collector.requests for resource in request.resource_spans]
    assert {each.key: each.value.string_value for each in resource.attributes}["service.name"] == "risk-model-server"
    assert tracing.counts == SpanCounts(exported=1)


def test_the_variables_endpoint_and_service_name_hold(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fraud-eu")
    tracing = tracer()
    tracing.record("score", 1, 2)
    tracing.close()
    [resource] = [resource.resource for request in collector.requests for resource in request.resource_spans]
    assert {each.key: each.value.string_value for each in resource.attributes}["service.name"] == "fraud-eu"


def test_a_collector_that_fails_costs_spans_and_one_line(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving")
    collector.status = 400
    tracing = ExportingTracer(otlp_exporter(collector.endpoint))
    for wanted in (1, 2):
        tracing.record("score", 1, 2)
        wait_until(lambda wanted=wanted: tracing.counts.failed == wanted)  # type: ignore[misc]  # a default binds it
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == [
        "serving.telemetry.span_export"
    ]
    collector.status = 200
    tracing.record("score", 3, 4)
    tracing.close()
    assert (tracing.counts.exported, tracing.counts.failed) == (1, 2)
    assert "the collector accepts spans again; 2 were lost" in caplog.text


def test_a_collector_that_is_gone_does_not_hold_up_the_end(collector: Collector) -> None:
    tracing = ExportingTracer(otlp_exporter("http://127.0.0.1:9"))
    tracing.record("score", 1, 2)
    tracing.close(timeout_seconds=0.3)
    wait_until(lambda: tracing.counts.failed == 1)


# Sampling, the queue, errors.


def test_the_callers_flag_decides_whether_a_span_is_recorded() -> None:
    unsampled = PARENT._replace(is_sampled=False)

    def record(tracing: ExportingTracer) -> None:
        tracing.record("score", 1, 2, unsampled)
        tracing.record("score", 3, 4, PARENT)

    assert [span.start_time for span in exported(Recording(), record)] == [3]


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (1.0, 1000, 1000), (0.5, 350, 650)])
def test_the_ratio_decides_where_a_trace_begins(ratio: float, least: int, most: int) -> None:
    exporter = Recording()
    tracing = ExportingTracer(exporter, ratio)
    for _ in range(1000):
        tracing.record("score", 1, 2)
    tracing.close()
    contexts = [context for span in exporter.spans if (context := span.get_span_context()) is not None]
    assert least <= len(contexts) <= most
    assert len({context.trace_id for context in contexts}) == len(contexts)
    assert all(context.is_valid and context.trace_flags.sampled for context in contexts)


def test_a_full_queue_drops_and_counts() -> None:
    exporter = Recording()
    exporter.may_export.clear()
    tracing = ExportingTracer(exporter, max_queued=10)
    for number in range(25):
        tracing.record("score", number, number + 1)
    assert tracing.counts.dropped == 15
    exporter.may_export.set()
    tracing.close()
    assert (tracing.counts.exported, tracing.counts.dropped) == (10, 15)
    assert [span.start_time for span in exporter.spans] == list(range(10))


def test_what_could_not_leave_in_time_is_counted() -> None:
    exporter = Recording()
    exporter.may_export.clear()
    tracing = ExportingTracer(exporter)
    for _ in range(BATCH_SPANS * 3):
        tracing.record("score", 1, 2)
    tracing.close(timeout_seconds=0.2)
    wait_until(lambda: tracing.counts.exported + tracing.counts.dropped == BATCH_SPANS * 3)
    assert tracing.counts.dropped > 0


def test_spans_leave_in_batches_before_the_end() -> None:
    exporter = Recording()
    tracing = ExportingTracer(exporter)
    for _ in range(BATCH_SPANS * 3):
        tracing.record("score", 1, 2)
    wait_until(lambda: tracing.counts.exported == BATCH_SPANS * 3)
    assert max(exporter.sizes) <= BATCH_SPANS
    tracing.close()


@pytest.mark.long
@pytest.mark.parametrize("exporter", [Recording(SpanExportResult.FAILURE), Raising()])
def test_an_exporter_that_fails_does_not_end_the_tracer(exporter: Recording, caplog: pytest.LogCaptureFixture) -> None:
    tracing = ExportingTracer(exporter)
    for wanted in (1, 2):
        tracing.record("score", 1, 2)
        wait_until(lambda wanted=wanted: tracing.counts.failed == wanted)  # type: ignore[misc]  # a default binds it
    tracing.close()
    assert "secret" not in caplog.text


def test_a_span_has_no_attribute_for_what_a_customer_sent() -> None:
    assert set(SpanAttributes._fields) == {
        "model", "slot", "bundle_digest", "release_number", "decision", "status",
    }  # fmt: skip
