"""The values of one process as Prometheus's metrics."""

import time
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.telemetry.families import FAMILIES, Family, Samples


class ProcessCollector(Collector):
    """The metrics of a server that is one process."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """Every family with its samples, also those without any."""
        for family in FAMILIES:
            if family.kind == "histogram":
                yield self._histogram(family)
            else:
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                metric = kind(family.name, family.help, labels=family.labels)
                for labels, number in self._samples.numbers[family].items():
                    metric.add_metric(labels, number)
                yield metric
            # A scrape runs off the event loop's thread: this lets the loop answer in between.
            time.sleep(0)

    def _histogram(self, family: Family) -> HistogramMetricFamily:
        metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, histogram in self._samples.histograms[family].items():
            buckets = list(zip(family.buckets, accumulate(histogram.counts), strict=True))
            metric.add_metric(labels, buckets, histogram.total)
        return metric
