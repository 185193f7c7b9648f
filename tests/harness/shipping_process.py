"""Writes decisions and ships them to Kafka until it is killed. Arguments: folder, bootstrap servers, topic, prefix."""

import sys
import time
from pathlib import Path
from typing import Final

from serving.log.shipping.kafka import KafkaSink
from serving.log.shipping.shipper import Shipper
from serving.log.writer import DecisionLog
from tests.harness.records import record

FIRST_TURNS: Final = 5


def run(directory: Path, brokers: str, topic: str, prefix: str) -> None:
    """Record and ship three decisions at a time; print ``shipping`` after the first turns."""
    log = DecisionLog(directory, segment_bytes=20_000)
    log.open()
    shipper = Shipper(directory, [directory], KafkaSink(brokers, topic), poll_seconds=0.01, batch_bytes=4_000)
    shipper.start()
    for index in range(1_000_000):
        if index == FIRST_TURNS:
            sys.stdout.write("shipping\n")
            sys.stdout.flush()
        log.record([record(f"{prefix}-{index}-{each}") for each in range(3)])
        time.sleep(0.002)


if __name__ == "__main__":
    run(Path(sys.argv[1]), *sys.argv[2:])
