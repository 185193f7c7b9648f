"""What every model shares: the installation's stores and the executor."""

import dagster as dg

from lifecycle.assets.resources import Stores


@dg.definitions
def defs() -> dg.Definitions:
    """Resources and the executor: a run's steps share one process, since each start of one costs seconds of imports."""
    return dg.Definitions(resources={"stores": Stores()}, executor=dg.in_process_executor)
