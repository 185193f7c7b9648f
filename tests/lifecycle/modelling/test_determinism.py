"""No number that enters a digest depends on cores, threads, the processor's BLAS kernel or its instruction set."""

import json
import os
import subprocess
import sys

import pytest

MACHINES: dict[str, tuple[int, dict[str, str]]] = {
    "one core": (1, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}),
    "two cores": (2, {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Haswell"}),
    "an older processor": (2, {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}),
}
ROWS_PER_DAY = 7_200
"""With the shipped windows the calibration has 250,000 rows or more."""


def digests(machine: str, *arguments: str) -> dict[str, str]:
    """The digests that a process on such a machine computes."""
    cores, environment = MACHINES[machine]
    command = [sys.executable, "-m", "tests.harness.digests", str(cores), *arguments]
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    computed: dict[str, str] = json.loads(run.stdout)
    return computed


def test_calibration_baseline_and_evaluation_have_the_same_bits_on_every_machine() -> None:
    first, *others = (digests(machine, "pieces") for machine in MACHINES)
    assert set(first) == {"calibration", "baseline", "evaluation"}
    assert others == [first, first]


@pytest.mark.long
def test_a_training_of_shipped_size_gives_the_same_candidate_on_every_machine() -> None:
    first, *others = (digests(machine, "training", str(ROWS_PER_DAY)) for machine in MACHINES)
    assert {"model", "deciding", "evaluation.json"} <= set(first)
    assert others == [first, first]
