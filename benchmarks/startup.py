"""Time to load the code location and to import the server's application, each in a new process.

python -m benchmarks.startup
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_MODULES = "serving.scoring.margin.kernel, serving.scoring.shap.kernel, numpy"
_KERNELS = (
    "from serving.scoring.margin.kernel import kernel as margin; "
    "from serving.scoring.shap.kernel import kernel as shap; margin(); shap()"
)
_WITHOUT_FILES = f"import os, sys, {_MODULES}, numba.core.ccallback; sys.pycache_prefix = os.devnull; {_KERNELS}"
PROGRAMS = {
    "an empty interpreter": "pass",
    "import dagster": "import dagster",
    "load the code location": (
        "from lifecycle.definitions import defs; d = defs() if callable(defs) else defs; d.get_repository_def()"
    ),
    "import fastapi": "import fastapi",
    "import serving.process.app": "import serving.process.app",
    "load the kernels": _KERNELS,
    "compile the kernels": _WITHOUT_FILES,
}


def main(
    runs: Annotated[int, typer.Option(help="Counted runs of each, after one that is not.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure wall-clock seconds of whole processes; the first run of each warms the disk cache and is not counted."""
    seconds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"LIFECYCLE_HOME": home}
        for name, program in PROGRAMS.items():
            taken = [_wall_seconds(program, environment) for _ in range(runs + 1)][1:]
            seconds[name] = {"minimum": min(taken), "median": statistics.median(taken), "maximum": max(taken)}
    if as_json:
        print(json.dumps(seconds))
        return
    table = Table("process", "minimum s", "median s", "maximum s")
    for name, row in seconds.items():
        table.add_row(name, *(f"{row[key]:.2f}" for key in ("minimum", "median", "maximum")))
    Console().print(table)


def _wall_seconds(program: str, environment: dict[str, str]) -> float:
    """Seconds that the program says it took, so that the start of this benchmark's child is in no figure twice."""
    timed = f"import time; begun = time.perf_counter()\n{program}\nprint(time.perf_counter() - begun)"
    answer = subprocess.run(
        [sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    return float(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    typer.run(main)
