"""Definitions that every model shares: the stores and the executor."""

import dagster as dg

from lifecycle.assets.resources import Stores


def defs() -> dg.Definitions:
    """Stores and executor. The steps of a run share one process, because starting one costs seconds of imports."""
    return dg.Definitions(resources={"stores": Stores()}, executor=dg.in_process_executor)
