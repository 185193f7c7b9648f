"""Runs a backtest: the parent freezes one training set after the other, its children fit and judge side by side.

The warehouse lets one process in at a time, so that only the parent reads it. Each child keeps its date's result before
it answers: after a kill at any point the same command computes the missing dates only. Children end with their parent.
"""

import datetime as dt
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from multiprocessing import connection

import dagster as dg

from lifecycle.artefacts.backtests import Backtest, BacktestStore, Row
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import freeze_training_set
from lifecycle.errors import LifecycleError
from lifecycle.local.backtest.dates import DateTask, champion_bundle, compute, compute_drift
from lifecycle.local.backtest.plan import Asked, asked_document
from lifecycle.settings.snowflake import Step
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from serving.storage.private_files import keep_files_private

Tell = Callable[[Row], None]
"""Called with each row as soon as it is known, in the order in which they become known."""


def run_backtest(stores: Stores, asked: Asked, tell: Tell) -> Backtest:
    """Compute the dates that are missing, and the drift between them.

    Raises
    ------
    LifecycleError
        If a child was killed; the same command goes on.
    """
    started = time.monotonic()
    store = BacktestStore.of(stores.settings.backtests_dir, asked.spec.name, asked_document(stores.settings, asked))
    with _pool(asked.jobs) as pool:
        rows = _compute_dates(stores, asked, store, pool, tell)
        rows = _add_drift(asked, store, pool, rows)
    return Backtest(
        model=asked.spec.name,
        against=asked.against.name if asked.against else None,
        metric=asked.spec.gates.metric,
        maximum_psi=asked.spec.drift.maximum_psi,
        confidence=asked.spec.gates.confidence,
        rows=rows,
        folder=store.folder,
        jobs=asked.jobs,
        seconds=round(time.monotonic() - started, 2),
    )


def _compute_dates(
    stores: Stores, asked: Asked, store: BacktestStore, pool: ProcessPoolExecutor, tell: Tell
) -> list[Row]:
    rows: dict[dt.date, Row] = {}
    started: list[Future[Row]] = []
    told = _Told(tell, rows)
    uses: tuple[Step, Step] = ("read", "train")
    warehouses = {step: open_warehouse(stores.settings, Use(step, asked.spec.name, "backtest")) for step in uses}
    for as_of in asked.dates:
        frozen = _freeze(stores, asked, as_of, warehouses.__getitem__)
        if isinstance(frozen, Row):
            told(frozen)
            continue
        known = store.read(as_of.isoformat(), frozen)
        if known is not None and known.champion == champion_bundle(asked.spec, stores, as_of):
            told(Row(as_of, known, is_taken_over=True))
            continue
        future = pool.submit(_row, DateTask(asked, store.folder, as_of, frozen))
        future.add_done_callback(told.finished)
        started.append(future)
    for future in as_completed(started):
        told(future.result())
    return [rows[as_of] for as_of in asked.dates]


class _Told:
    """Keeps each row once, and tells of it; a child's answer arrives in a thread of the pool."""

    def __init__(self, tell: Tell, rows: dict[dt.date, Row]) -> None:
        self._tell, self._rows, self._lock = tell, rows, threading.Lock()

    def __call__(self, row: Row) -> None:
        with self._lock:
            if row.as_of not in self._rows:
                self._rows[row.as_of] = row
                self._tell(row)

    def finished(self, future: Future[Row]) -> None:
        """A child has answered, or was killed, which its reader finds out."""
        if not future.cancelled() and future.exception() is None:
            self(future.result())


def _freeze(stores: Stores, asked: Asked, as_of: dt.date, warehouse: Callable[[Step], Warehouse]) -> str | Row:
    """Digest of the training set of a date, frozen now; a row that says why it cannot be."""
    try:
        frozen = freeze_training_set(asked.snapshot_spec, stores, as_of, warehouse, is_current=False)
    except LifecycleError as error:
        return Row(as_of, reason=str(error))
    except dg.Failure as failure:
        return Row(as_of, reason=failure.description or "no training set")
    return frozen.description.digest


def _row(task: DateTask) -> Row:
    """A date's row, in a child."""
    try:
        return Row(task.as_of, compute(task))
    except LifecycleError as error:
        return Row(task.as_of, reason=str(error))


def _add_drift(asked: Asked, store: BacktestStore, pool: ProcessPoolExecutor, rows: list[Row]) -> list[Row]:
    """The rows with the drift of each date since the computed one before it."""
    computed = [(row.as_of, row.result) for row in rows if row.result is not None]
    futures, found = {}, {}
    for (_, earlier), (as_of, later) in pairwise(computed):
        known = store.read_drift(later.as_of, later.training_set_digest, earlier.ours.candidate_digest)
        if known is not None:
            found[as_of] = known
            continue
        task = DateTask(asked, store.folder, as_of, later.training_set_digest)
        futures[as_of] = pool.submit(compute_drift, task, earlier)
    found |= {as_of: future.result() for as_of, future in futures.items()}
    return [replace(row, drift=found.get(row.as_of)) for row in rows]


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes: LightGBM's threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin_child)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise LifecycleError(
            "Expected every process of the backtest to answer, one was killed, perhaps for lack of memory; the same "
            "command goes on with the missing dates, with --jobs 1 in less memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_child() -> None:
    """End this process on Ctrl-C, and as soon as its parent has ended, however it ended."""
    keep_files_private()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
