"""docs/tutorial-add-a-model.md: its commands run, in order, in an empty folder; docs/models.md names existing tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.paths import ROOT

TUTORIAL = (ROOT / "docs" / "tutorial-add-a-model.md").read_text()
MODELS = (ROOT / "docs" / "models.md").read_text()
STAYS = "lifecycle up"
"""Runs until it is stopped; the test of an added model starts it and asks the server."""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_commands_of_the_tutorial_lead_to_a_release(tmp_path: Path) -> None:
    blocks = [block for block in re.findall(r"```bash\n(.*?)```", TUTORIAL, re.DOTALL) if "curl" not in block]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"LIFECYCLE_MODELS": str(tmp_path / "models"), "LIFECYCLE_HOME": str(tmp_path / "home")}
    digest = ""
    for block in blocks:
        script = "\n".join(line for line in block.splitlines() if line != STAYS).replace("DIGEST", digest)
        done = subprocess.run(
            ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        digest = next(iter(re.findall(r"Candidate ([0-9a-f]{64})", done.stdout)), digest)
    releases = sorted((tmp_path / "home" / "release_store" / "releases" / "loans").glob("*.json"))
    assert [path.stem for path in releases] == ["000001"]


def test_each_variant_is_run_by_a_test_that_exists() -> None:
    named = re.findall(r"\| `([\w/]+\.py)` \|$", MODELS, re.MULTILINE)
    assert len(named) >= 12
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
