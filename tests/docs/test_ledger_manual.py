"""docs/ledger.md: its commands run in their order, and its tables name every kind and every damage."""

import re
import shlex
import shutil
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.releases.ledger.records import Kind
from lifecycle.releases.ledger.verify import Damage
from tests.harness.paths import ROOT
from tests.harness.small_models import MODEL, SmallStore

MANUAL = (ROOT / "docs" / "ledger.md").read_text()
LATER = {"erasure"}
"""Kinds that readers know already and that nothing writes yet."""


def test_the_commands_of_the_manual_run(store: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    monkeypatch.chdir(tmp_path)
    store.releases.publish(MODEL, store.seal(1), by="ana", reason="first")
    shutil.copytree(store.settings.release_store, "COPY", ignore=shutil.ignore_patterns("bundles"))
    shutil.copy(store.keys.public_key_path, "PUBLIC_KEY.pem")
    blocks = re.findall(r"```bash\n(.*?)```", MANUAL, re.DOTALL)
    printed = {}
    for line in (line for block in blocks for line in block.splitlines()):
        command, _, target = line.partition(" > ")
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, (line, result.output)
        printed[line] = result.stdout
        if target:
            Path(target).write_text(result.stdout)
    assert len(printed) == 5
    assert sum(output.startswith("Verified: 3 records") for output in printed.values()) == 3


def first_cells(heading: str) -> set[str]:
    """The names in the first column of a section's table."""
    section = MANUAL.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`([a-z_]+)`", " ".join(rows)))


def test_the_tables_name_every_kind_and_every_damage() -> None:
    assert first_cells("What is recorded") == set(get_args(Kind)) - LATER
    assert first_cells("What verification finds") == set(get_args(Damage))
