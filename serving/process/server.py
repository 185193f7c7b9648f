"""What a server is made of, and the order in which it starts and stops."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.access.api_keys import ApiKeys
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
from serving.process.observed import log_status, shipping_status, store_status
from serving.settings import ServingSettings
from serving.slots.cache import Cache
from serving.slots.polling import Polling
from serving.slots.slots import Slots
from serving.telemetry.metrics import Metrics
from serving.telemetry.tracer import tracer

logger = logging.getLogger(__name__)


class Server:
    """The parts of one server process, put together and not yet started.

    Parameters
    ----------
    worker
        Number of this process where several answer at one address: it has a log and a cache of its own.

    Raises
    ------
    ContractError
        If a key cannot be read, or something is asked for that is not installed.
    """

    def __init__(self, settings: ServingSettings, worker: int | None = None) -> None:
        self.settings = settings
        number = worker or 0
        keys = read_public_keys(settings.public_key)
        self.metrics = Metrics()
        self.api_keys = ApiKeys(settings.api_keys)
        self.cache = Cache(settings.cache_dir if worker is None else settings.cache_dir / f"worker-{number}")
        self.slots = Slots(
            ReleaseSource(DirectoryReader(settings.store), keys),
            self.cache,
            keys,
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
        # What other numbers of workers left behind is the first one's to look after.
        self._leftover = leftover_folders(settings.log_dir, settings.workers) if number == 0 else []
        self.shipper = _shipper_of(settings, self.log, self._leftover)
        self.polling = Polling(self.look, settings.poll_seconds)
        # Two at once might put the keys from before a revocation back in force, until the next look.
        self._looking = threading.Lock()
        self._background: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Open the log and load what is released; everything that may fail at the start fails here.

        Raises
        ------
        ContractError
            If a folder cannot be used.
        """
        self.cache.prepare()
        for log in (*map(DecisionLog, self._leftover), self.log):
            cut = log.open()
            if cut:
                logger.warning("cut %d bytes of an unanswered decision from the end of the log", cut)
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
        )
        self.shadows.open()
        self.tracer.start()
        if self.shipper is not None:
            self.shipper.start()

    def run(self) -> None:
        """Begin what goes on beside the requests; on the event loop."""
        self.metrics.begin()
        self.polling.start()
        self._background.append(asyncio.create_task(self.metrics.keep_fresh()))

    async def stop(self) -> None:
        """End everything in the order in which nothing is lost: the log comes last, and is sealed."""
        for task in self._background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.rejections.close()
        await asyncio.to_thread(self._close)

    def look(self) -> None:
        """Read the API keys and the release store once; from any thread, one after the other."""
        with self._looking:
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
    """What ships this process's log, and the folders that no process writes to any more."""
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
