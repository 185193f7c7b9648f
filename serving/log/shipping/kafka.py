"""Ships to a Kafka topic: one message per line, keyed by entity, acknowledged by all in-sync replicas."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from serving.contract.distribution import DISTRIBUTION
from serving.contract.documents import ContractError
from serving.log.shipping.kafka_reports import KafkaReports
from serving.log.shipping.sink import OversizedLine, ShippingError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

DELIVERY_SECONDS: Final = 30.0
MESSAGE_BYTES: Final = 16 << 20
"""Default of ``message.max.bytes``: above any record, so that the topic's limit decides and not the client's."""
_DESCRIBE_SECONDS: Final = 5.0
_TOO_LARGE: Final = "MSG_SIZE_TOO_LARGE"
_INSTALL: Final = f"pip install '{DISTRIBUTION}[kafka]'"


class _Keyed(msgspec.Struct):
    """The members of a line that key its message."""

    entity_key: str | None = None
    decision_id: str | None = None


_keyed = msgspec.json.Decoder(_Keyed)


class KafkaSink:
    """Sends each line as a message and returns when the brokers have acknowledged all of them.

    The key is the record's entity_key, which keeps one entity's records in order, or else its decision_id; the value is
    the line without its newline; the headers ``segment`` and ``offset`` let a consumer recognise duplicates. The
    producer is idempotent: its own retries create no duplicates. After a failure it is discarded, and a new one sends
    the lines again.

    A broker that refuses a batch of messages as too large does not say which one is: the lines are sent again in halves
    and in their order, until the ones over the limit are alone.

    Parameters
    ----------
    bootstrap_servers
        ``host:port`` of some brokers, separated by commas.
    topic
        The topic, which exists or which the brokers create.
    delivery_seconds
        Lines that are not acknowledged within this time have failed.
    configuration
        Further librdkafka settings, for TLS and SASL; they cannot weaken the delivery guarantees.

    Raises
    ------
    ContractError
        If confluent-kafka is not installed or a setting is invalid.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        delivery_seconds: float = DELIVERY_SECONDS,
        configuration: Mapping[str, str] | None = None,
    ) -> None:
        self.topic = topic
        self._delivery_seconds = delivery_seconds
        self._configuration: dict[str, str | int | float | bool] = {
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.max.bytes": MESSAGE_BYTES,
            **(configuration or {}),
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "delivery.timeout.ms": int(delivery_seconds * 1000),
        }
        self._reports = KafkaReports()
        self._producer: Producer | None = self._connected()

    @property
    def destination(self) -> str:
        """The brokers and the topic."""
        return f"kafka:{self._configuration['bootstrap.servers']}/{self.topic}"

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> Sequence[OversizedLine]:
        """Send lines and wait until all are acknowledged but those over the limit."""
        self._reports.begin()
        oversized = self._ship(segment_name, offset, lines, 0)
        self._reports.settle()
        if not oversized:
            return ()
        limit_bytes = self._limit_bytes()
        return [OversizedLine(index, limit_bytes) for index in oversized]

    def _ship(self, segment_name: str, offset: int, lines: Sequence[bytes], first: int) -> list[int]:
        """Send lines, of which the first has the index `first`; returns the indices of those over the limit."""
        if self._are_accepted(segment_name, offset, lines):
            return []
        if len(lines) == 1:
            return [first]
        half = len(lines) // 2
        oversized = self._ship(segment_name, offset, lines[:half], first)
        offset += sum(map(len, lines[:half]))
        return oversized + self._ship(segment_name, offset, lines[half:], first + half)

    def _are_accepted(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> bool:
        """Send lines; ``False`` if some are refused as too large, and any of them may have arrived."""
        if self._producer is None:
            self._producer = self._connected()
        failures: Counter[str] = Counter()
        acknowledged = 0

        def delivered(error: "KafkaError | None", _message: "Message") -> None:
            nonlocal acknowledged
            if error is None:
                acknowledged += 1
            else:
                failures[error.name()] += 1

        deadline = time.monotonic() + self._delivery_seconds
        try:
            self._produce(self._producer, segment_name, offset, lines, delivered, deadline)
            self._producer.flush(max(deadline - time.monotonic(), 0.1))
        except Exception as error:
            self._discard()
            if _name(error) == _TOO_LARGE:
                return False
            cause, text = self._reports.explain(Counter([_name(error)]))
            raise ShippingError(f"Expected to send to Kafka, got: {text}", cause=cause) from error
        missing = len(lines) - acknowledged
        if not missing:
            return True
        # Discarding fails the unsent ones, too, with an error that says nothing.
        found = failures.copy()
        self._discard()
        if found == {_TOO_LARGE: missing}:
            return False
        del found[_TOO_LARGE]
        cause, text = self._reports.explain(found)
        raise ShippingError(
            f"Expected {len(lines)} messages to be acknowledged, {missing} were not: {text}", cause=cause
        )

    def finish(self, segment_name: str, seal: bytes) -> None:
        """Do nothing: messages need no seal."""

    def close(self) -> None:
        """Close the connection; no message is in flight between calls."""
        self._discard()

    def _produce(
        self,
        producer: "Producer",
        segment_name: str,
        offset: int,
        lines: Sequence[bytes],
        delivered: "Callable[[KafkaError | None, Message], None]",
        deadline: float,
    ) -> None:
        """Queue the lines, as many as fit into the producer's queue in time."""
        segment = segment_name.encode()
        for line in lines:
            headers: list[tuple[str, str | bytes | None]] = [("segment", segment), ("offset", str(offset).encode())]
            while True:
                try:
                    producer.produce(
                        self.topic, value=line[:-1], key=_key(line), headers=headers, on_delivery=delivered
                    )
                except BufferError:
                    if time.monotonic() >= deadline:
                        return
                    producer.poll(0.1)
                else:
                    break
            offset += len(line)

    def _connected(self) -> "Producer":
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError as error:
            raise ContractError(f"Expected confluent-kafka to be installed; run {_INSTALL}") from error
        try:
            return Producer(self._configuration, logger=self._reports, error_cb=self._reports.error)
        except KafkaException as error:
            # Without the error's text: it quotes the refused value, which may be a secret.
            raise ContractError(
                f"Expected valid librdkafka settings, got {_name(error)} - at {sorted(self._configuration)}"
            ) from error

    def _limit_bytes(self) -> int | None:
        """Longest message that client and topic accept; ``None`` if the topic's setting cannot be read."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

        topic = ConfigResource(ConfigResource.Type.TOPIC, self.topic)
        own = int(self._configuration["message.max.bytes"])
        try:
            admin = AdminClient(self._configuration, logger=self._reports)
            [described] = admin.describe_configs([topic], request_timeout=_DESCRIBE_SECONDS).values()
            return min(own, int(described.result(_DESCRIBE_SECONDS)["max.message.bytes"].value))
        except (KafkaException, TimeoutError, KeyError, ValueError):
            # Reading a topic's settings is a permission of its own. The client's limit is then known only if it is set.
            return own if own < MESSAGE_BYTES else None

    def _discard(self) -> None:
        """Drop the queued messages: they are sent again, and a late delivery would be out of order."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
            producer.poll(0)


def _key(line: bytes) -> str | None:
    keyed = _keyed.decode(line)
    return keyed.entity_key or keyed.decision_id


def _name(error: Exception) -> str:
    """The error's name, without any value."""
    cause = error.args[0] if error.args else error
    name = getattr(cause, "name", None)
    return str(name()) if callable(name) else type(error).__name__
