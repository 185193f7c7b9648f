"""Composition of one server process, and the order in which its parts start and stop."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.access.api_keys import ApiKeys
from serving.artefacts.promotion_holds import PromotionHolds
from serving.artefacts.releases import DirectoryReader, ReleaseSource
from serving.artefacts.signatures import read_public_keys
from serving.decisions.pipeline import Scoring
from serving.decisions.pseudonyms import Pseudonyms, read_pseudonym_key
from serving.decisions.rejections import Rejections
from serving.decisions.repeats import RecentDecisions
from serving.decisions.shadow import Shadows
from serving.http.admission import Admission
from serving.http.refusals import Refusals
from serving.log.segments import leftover_folders, recent_records, worker_folder
from serving.log.shipping.destinations import open_sink
from serving.log.shipping.shipper import Shipper
from serving.log.writer import DecisionLog
from serving.process.log_output import dropped_lines
from serving.process.observed import log_status, shipping_status, store_status
from serving.settings import ServingSettings
from serving.slots.cache import Cache
from serving.slots.polling import Polling
from serving.slots.slots import Slots
from serving.telemetry.metrics import Metrics
from serving.telemetry.tracer import tracer

logger = logging.getLogger(__name__)


class Server:
    """The parts of one server process, connected but not started.

    Parameters
    ----------
    worker
        Number of this process if several share one address: each has its own log and cache.

    Raises
    ------
    ContractError
        If a key cannot be read, or a setting needs a package that is not installed.
    """

    def __init__(self, settings: ServingSettings, worker: int | None = None) -> None:
        self.settings = settings
        number = worker or 0
        keys = read_public_keys(settings.public_key)
        self.metrics = Metrics()
        self.api_keys = ApiKeys(settings.api_keys)
        self.cache = Cache(settings.cache_dir if worker is None else settings.cache_dir / f"worker-{number}")
        reader = DirectoryReader(settings.store)
        self.slots = Slots(
            ReleaseSource(reader, keys),
            self.cache,
            keys,
            PromotionHolds(reader, keys),
            on_transition=lambda change: self.metrics.transition(change.model, change.slot, change.state),
        )
        self.log = DecisionLog(
            worker_folder(settings.log_dir, number, settings.workers),
            durability=settings.log_durability,
            on_failure=settings.log_failure,
            segment_bytes=settings.segment_bytes,
            segment_seconds=settings.segment_seconds,
        )
        self.recent = RecentDecisions(settings.recent_decisions)
        self.shadows = Shadows(self.log, self.metrics, limit=settings.shadow_queue)
        self.tracer = tracer(settings.otlp_endpoint, settings.trace_ratio)
        self.scoring = Scoring(
            self.slots,
            self.log,
            self.recent,
            self.metrics,
            self.shadows,
            self.tracer,
            pseudonyms=Pseudonyms(read_pseudonym_key(settings.pseudonym_key)),
            explain=settings.explain,
            max_batch=settings.max_batch,
        )
        self.admission = Admission(
            self.api_keys,
            max_in_flight=settings.max_in_flight,
            timeout_seconds=settings.request_timeout_seconds,
            in_flight=lambda: self.metrics.in_flight,
        )
        self.rejections = Rejections(self.log)
        self.refusals = Refusals(self.metrics, self.rejections, self.slots)
        # The first worker takes over the log folders that runs with other numbers of workers left.
        self._leftover = leftover_folders(settings.log_dir, settings.workers) if number == 0 else []
        self.shipper = _shipper_of(settings, self.log, self._leftover)
        self.polling = Polling(self.look, settings.poll_seconds)
        # Two polls at once could restore keys that were revoked between them, until the next poll.
        self._poll_lock = threading.Lock()
        self._background: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Open the log and load the released models; a server that cannot start fails here.

        Raises
        ------
        ContractError
            If a folder cannot be used.
        """
        self.cache.prepare()
        for log in (*map(DecisionLog, self._leftover), self.log):
            truncated = log.open()
            if truncated:
                logger.warning("truncated %d bytes of an unanswered decision at the end of the log", truncated)
            if log is not self.log:
                log.close()
        for record in recent_records(self.settings.log_dir, self.settings.recent_decisions):
            self.recent.remember_record(record)
        self.slots.restore()
        self.slots.advance()
        shipper = self.shipper
        self.metrics.watch(
            store=lambda: store_status(self.slots),
            log=lambda: log_status(self.log),
            shipping=None if shipper is None else lambda: shipping_status(shipper),
            keys=lambda: self.api_keys.failure,
            dropped_lines=dropped_lines,
        )
        self.shadows.open()
        if self.shipper is not None:
            self.shipper.start()

    def run(self) -> None:
        """Start the background tasks; must be called on the event loop."""
        self.metrics.begin()
        self.polling.start()
        self._background.append(asyncio.create_task(self.metrics.keep_fresh()))

    async def stop(self) -> None:
        """Stop all parts; the log is closed and sealed after everything that writes to it."""
        for task in self._background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.rejections.close()
        await asyncio.to_thread(self._close)

    def look(self) -> None:
        """Poll the API keys and the release store once; thread-safe."""
        with self._poll_lock:
            self.api_keys.refresh()
            self.slots.advance()

    def _close(self) -> None:
        self.polling.stop()
        self.scoring.close()
        self.shadows.close()
        self.log.close()
        if self.shipper is not None:
            self.shipper.stop()
        self.tracer.close()


def _shipper_of(settings: ServingSettings, log: DecisionLog, leftover: Sequence[Path]) -> Shipper | None:
    """The shipper of this process's log and of the leftover folders, if a sink is set."""
    if settings.ship_to is None:
        return None
    return Shipper(
        settings.log_dir,
        [log.directory, *leftover],
        open_sink(settings.ship_to, settings.kafka_settings),
        max_unshipped_bytes=settings.max_unshipped_bytes,
        on_overrun=settings.log_failure,
        obstruct=log.obstruct,
        retention_days=settings.ship_retention_days,
    )
