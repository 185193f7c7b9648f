"""The benchmark of extraction runs, and both ways give the same rows."""

import json
import subprocess
import sys

import pytest

from tests.harness.paths import ROOT


@pytest.mark.long
def test_both_ways_give_the_same_rows() -> None:
    command = [sys.executable, "-m", "benchmarks.extraction", "--rows", "2000", "--days", "4", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["streamed"]["rows"] == result["at_once"]["rows"] == 2000
    assert result["streamed"]["digest"] == result["at_once"]["digest"]
