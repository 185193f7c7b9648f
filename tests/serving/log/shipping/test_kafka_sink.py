"""The Kafka sink against librdkafka's own mock cluster, which lives in this process and speaks the real protocol."""

import logging
import random
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from serving.contract.documents import ContractError
from serving.log.segments import line_of, read_records, segment_name, segment_paths
from serving.log.shipping.destinations import open_sink
from serving.log.shipping.directory import DirectorySink
from serving.log.shipping.kafka import KafkaSink
from serving.log.shipping.shipper import Shipper
from serving.log.shipping.sink import ShippingError
from tests.harness.logs import line, opened, rejection, write
from tests.harness.paths import ROOT
from tests.harness.records import record

TOPIC = "decisions"


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """Addresses of a mock cluster of two brokers; it ends with the client that began it."""
    quiet = logging.getLogger("mock cluster")
    quiet.setLevel(logging.CRITICAL)
    owner = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 2}, logger=quiet)
    yield ",".join(f"{broker.host}:{broker.port}" for broker in owner.list_topics(timeout=10).brokers.values())
    owner.flush(1)


def messages(brokers: str, topic: str) -> list[Message]:
    """Everything in a topic, partition after partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(10)
        assert message is not None, "the mock cluster does not answer"
        error = message.error()
        if error is None:
            found.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended += 1
    consumer.close()
    return found


def test_a_line_becomes_a_message_keyed_by_its_entity(brokers: str) -> None:
    sink = KafkaSink(brokers, "keys")
    lines = [line("d1"), line_of(rejection(decision_id="d2")), line_of(rejection())]
    sink.ship(segment_name(7), 100, lines)
    sink.finish(segment_name(7), b"{}")
    sink.close()
    found = sorted(messages(brokers, "keys"), key=lambda message: str(message.headers()))
    assert [message.value() for message in found] == [lines[0][:-1], lines[1][:-1], lines[2][:-1]]
    assert [message.key() for message in found] == [b"f" * 64, b"d2", None]
    offsets = [100, 100 + len(lines[0]), 100 + len(lines[0]) + len(lines[1])]
    assert [message.headers() for message in found] == [
        [("segment", segment_name(7).encode()), ("offset", str(offset).encode())] for offset in offsets
    ]


def test_the_whole_log_arrives_in_the_order_of_each_entity(tmp_path: Path, brokers: str) -> None:
    log = opened(tmp_path, segment_bytes=3_000)
    shipper = Shipper(tmp_path, [tmp_path], KafkaSink(brokers, "order"), poll_seconds=0.01, batch_bytes=2_000)
    shipper.start()
    ids = [f"d{index}" for index in range(200)]
    for decision_id in ids:
        log.record([record(decision_id)])
    log.close()
    shipper.stop(20)
    assert [msgspec.json.decode(message.value() or b"")["decision_id"] for message in messages(brokers, "order")] == ids
    assert (shipper.lag_bytes, shipper.shipped_records, shipper.failure) == (0, 200, None)


def test_brokers_that_are_gone_are_a_failure_and_nothing_is_forgotten(tmp_path: Path, brokers: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sink = KafkaSink(f"127.0.0.1:{unused.getsockname()[1]}", TOPIC, delivery_seconds=0.5)
        for _ in range(2):
            with pytest.raises(ShippingError, match=r"Expected 1 messages to be acknowledged, 1 were not"):
                sink.ship(segment_name(1), 0, [line("d1")])
        sink.close()
    write(tmp_path, ["d1"])
    shipper = Shipper(tmp_path, [tmp_path], KafkaSink(brokers, "later"))
    shipper.open()
    assert shipper.advance() == 1
    shipper.stop()
    assert len(messages(brokers, "later")) == 1


def test_a_slow_broker_is_waited_for(tmp_path: Path) -> None:
    slow = {"test.mock.num.brokers": "1", "test.mock.broker.rtt": "200"}
    sink = KafkaSink("mock", TOPIC, configuration=slow)
    write(tmp_path, [f"d{index}" for index in range(50)])
    shipper = Shipper(tmp_path, [tmp_path], sink, batch_bytes=20_000)
    shipper.open()
    assert shipper.advance() == 50
    shipper.stop()


@pytest.mark.long
def test_what_was_confirmed_by_a_killed_server_arrives_after_its_restarts(tmp_path: Path, brokers: str) -> None:
    generator = random.Random(11)
    for turn in range(5):
        command = [sys.executable, "-m", "tests.harness.shipping_process", str(tmp_path), brokers, "killed", f"r{turn}"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "shipping\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(generator.uniform(0.1, 0.6))
            process.send_signal(signal.SIGKILL)
    opened(tmp_path).close()
    shipper = Shipper(tmp_path, [tmp_path], KafkaSink(brokers, "killed"))
    shipper.open()
    shipper.advance()
    shipper.stop()
    written = [line_of(logged.record)[:-1] for logged in read_records(tmp_path)]
    arrived = Counter(message.value() for message in messages(brokers, "killed"))
    assert set(arrived) == set(written)
    assert len(written) > 50
    places = {tuple(dict(message.headers() or []).items()): message.value() for message in messages(brokers, "killed")}
    assert len(places) == len(written), "segment and offset identify a repeat"
    assert len(segment_paths(tmp_path)) >= 5


def test_settings_that_are_not_understood_are_named_without_their_values() -> None:
    with pytest.raises(ContractError, match=r"Expected valid librdkafka settings.*'sasl\.passwort'") as raised:
        KafkaSink("localhost:9", TOPIC, configuration={"sasl.passwort": "hunter2"})
    assert "hunter2" not in str(raised.value)


def test_delivery_cannot_be_made_weaker() -> None:
    sink = KafkaSink("localhost:9", TOPIC, configuration={"acks": "0", "enable.idempotence": "false"})
    assert (sink._configuration["acks"], sink._configuration["enable.idempotence"]) == ("all", True)
    sink.close()


def test_a_destination_names_its_sink(tmp_path: Path) -> None:
    directory = open_sink(f"directory:{tmp_path}")
    assert isinstance(directory, DirectorySink)
    assert directory.destination == f"directory:{tmp_path}"
    properties = tmp_path / "kafka.properties"
    properties.write_text("# how to log in\n\nlinger.ms = 50\nclient.id=a=b\n")
    sink = open_sink("kafka:one:9092,two:9092/decisions", properties)
    assert isinstance(sink, KafkaSink)
    assert sink.destination == "kafka:one:9092,two:9092/decisions"
    assert (sink._configuration["linger.ms"], sink._configuration["client.id"]) == ("50", "a=b")
    sink.close()
    properties.write_text("a=b\nhunter2\n")
    with pytest.raises(ContractError, match=r"Expected name=value - at .*, line 2"):
        open_sink("kafka:one:9092/decisions", properties)
    for destination in ("kafka:one:9092", "s3:bucket", "", "directory:"):
        with pytest.raises(ContractError, match="Expected a destination"):
            open_sink(destination)


def test_the_server_runs_without_the_client_of_kafka() -> None:
    code = (
        "import sys; sys.modules['confluent_kafka'] = None\n"
        "import serving.process.app, serving.log.shipping.destinations as d\n"
        "from serving.contract.documents import ContractError\n"
        "try: d.open_sink('kafka:a:1/b')\n"
        "except ContractError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == ("Expected confluent-kafka to be installed; run pip install 'risk-model-lifecycle[kafka]'\n")


@pytest.mark.long
def test_the_lines_over_the_limit_are_found_and_all_others_arrive_in_their_order(brokers: str) -> None:
    sink = KafkaSink(brokers, "limited", configuration={"message.max.bytes": "1000"})
    ids = [f"d{index}" if index not in {3, 10} else f"{index}{'x' * 900}" for index in range(12)]
    lines = [line(each) for each in ids]
    assert [(index, limit) for index, limit in sink.ship(segment_name(1), 0, lines)] == [(3, 1000), (10, 1000)]
    sink.close()
    arrived = [message.value() for message in messages(brokers, "limited")]
    assert list(dict.fromkeys(arrived[::-1]))[::-1] == [each[:-1] for each in lines if len(each) < 1000]


def test_the_reason_of_librdkafka_is_in_the_error_and_nothing_else_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        often = {"reconnect.backoff.ms": "1", "reconnect.backoff.max.ms": "5"}
        sink = KafkaSink(address, TOPIC, delivery_seconds=1.0, configuration=often)
        with pytest.raises(ShippingError, match=f"no answer; librdkafka: {address}/bootstrap: .* refused") as raised:
            sink.ship(segment_name(1), 0, [line("d1")])
        sink.close()
    assert raised.value.cause == "unreachable"
    assert re.search(r"\(\d+ of its lines left out\)", str(raised.value))
    assert caplog.records == []


class HalfGone:
    """A producer that one message of three gets through, and whose queue counts events of its own."""

    def __init__(self, is_all: bool = False) -> None:
        self.delivered: list[Any] = []
        self.is_all = is_all

    def produce(self, _topic: str, *, on_delivery: Any, **_message: Any) -> None:
        self.delivered.append(on_delivery)

    def flush(self, _seconds: float) -> int:
        for delivered in self.delivered if self.is_all else self.delivered[1:2]:
            delivered(None, None)
        return 5

    def purge(self, **_what: bool) -> None:
        """Report nothing: what librdkafka reports then is not counted."""

    def poll(self, _seconds: float) -> None:
        """Report nothing."""


def test_the_error_counts_the_messages_that_were_not_acknowledged(
    brokers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line(f"d{index}") for index in range(3)]
    sink = KafkaSink(brokers, TOPIC)
    monkeypatch.setattr(sink, "_producer", HalfGone())
    with pytest.raises(ShippingError, match="Expected 3 messages to be acknowledged, 2 were not"):
        sink.ship(segment_name(1), 0, lines)
    monkeypatch.setattr(sink, "_producer", HalfGone(is_all=True))
    assert sink.ship(segment_name(1), 0, lines) == (), "What else is in the client's queue is no message"
    sink.close()
