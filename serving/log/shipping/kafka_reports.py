"""What librdkafka says, for the shipper's own lines: it repeats a line for each broker and each attempt to connect."""

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from serving.log.shipping.limited_log import LimitedLog
from serving.log.shipping.sink import Cause

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_CAUSES: Final[dict[str, Cause]] = {
    "_MSG_TIMED_OUT": "unreachable",
    "_TIMED_OUT": "unreachable",
    "_TRANSPORT": "unreachable",
    "_RESOLVE": "unreachable",
    "_ALL_BROKERS_DOWN": "unreachable",
    "_AUTHENTICATION": "access",
    "_SSL": "access",
    "SASL_AUTHENTICATION_FAILED": "access",
    "TOPIC_AUTHORIZATION_FAILED": "access",
    "CLUSTER_AUTHORIZATION_FAILED": "access",
    "UNKNOWN_TOPIC_OR_PART": "topic",
    "_UNKNOWN_TOPIC": "topic",
    "_UNKNOWN_PARTITION": "topic",
    "TOPIC_EXCEPTION": "topic",
}
_SYMPTOMS: Final = {"_MSG_TIMED_OUT", "_TIMED_OUT", "_ALL_BROKERS_DOWN"}
"""Errors that follow from another one, which names the reason."""
_VARYING: Final = re.compile(r"^\[thrd:[^\]]*\]: | \(after \d+ms in state [^)]*\)")

logger = logging.getLogger(__name__)


class KafkaReports:
    """Collects librdkafka's errors and log lines between two deliveries.

    librdkafka hands them over only while the sink sends, on the sink's thread.
    """

    def __init__(self) -> None:
        self._lines: Counter[tuple[int, str]] = Counter()
        self._reason: tuple[str, str] | None = None
        self._limited = LimitedLog(logger)

    def log(self, level: int, _template: str, *values: object) -> None:
        """Take a log line, in the place of a `logging.Logger`; the last value is its text."""
        self._lines[level, _VARYING.sub("", str(values[-1]))] += 1

    def error(self, error: "KafkaError") -> None:
        """Take an error of the client, in the place of ``error_cb``."""
        if self._reason is None or error.name() not in _SYMPTOMS:
            self._reason = (error.name(), _VARYING.sub("", error.str()))

    def begin(self) -> None:
        """Forget the reason of an earlier failure."""
        self._reason = None

    def explain(self, failures: "Counter[str]") -> tuple[Cause, str]:
        """Cause and text of messages that failed with these names of errors; takes what was collected.

        The text has librdkafka's own reason, and how many lines of it are left out.
        """
        names = sorted(name for name in failures if name not in _SYMPTOMS)
        text = ", ".join(names) or "no answer"
        reason = self._reason
        if not names and reason is not None:
            names = [reason[0]]
        cause = _CAUSES.get(names[0], "other") if names else "unreachable"
        count = sum(self._lines.values())
        said = reason[1] if reason is not None else next((line for _, line in self._lines), None)
        if said is not None:
            text += f"; librdkafka: {said}"
        if count > 1:
            text += f" ({count} of its lines left out)"
        self._lines.clear()
        return cause, text

    def settle(self) -> None:
        """Log what was said although everything was delivered, one line a minute for each text."""
        for (level, text), count in self._lines.items():
            times = f" ({count} times)" if count > 1 else ""
            self._limited.write(level, text, f"Kafka accepts the log, and librdkafka says: {text}{times}")
        self._lines.clear()
