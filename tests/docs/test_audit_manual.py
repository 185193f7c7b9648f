"""docs/audit.md: its commands run, in order, on a home with a real server's decision log."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.local.audit.decision import ONE_DECISION, REPLAY
from lifecycle.local.audit.in_force import IN_FORCE, RELEASE
from lifecycle.local.audit.ledger_state import LEDGER, LEDGER_UP_TO
from lifecycle.local.audit.log_search import DECISION_LOG
from lifecycle.local.audit.model_origin import BUNDLE, GATES, TRAINING_DATA
from tests.harness.audited_home import MODEL, AuditedHome, audited_home
from tests.harness.paths import ROOT
from tests.harness.toy_model import AS_OF

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
MANUAL = (ROOT / "docs" / "audit.md").read_text()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditedHome:
    monkeypatch.delenv("COLUMNS", raising=False)
    return audited_home(tmp_path / "home", monkeypatch, is_own_process=True)


def commands() -> list[str]:
    """The manual's commands, each once."""
    blocks = re.findall(r"```bash\n(.*?)```", MANUAL, re.DOTALL)
    return list(dict.fromkeys(line for block in blocks for line in block.splitlines()))


def test_the_commands_of_the_manual_run(made: AuditedHome) -> None:
    words = {
        "DECISION_ID": "second",
        "MODEL": MODEL,
        "AS_OF": AS_OF.isoformat(),
        "BUNDLE": made.bundles[1][:12],
        "CANDIDATE": made.candidates[1].digest[:12],
        "DECISION_LOG": str(made.settings.decision_log_dir),
    }
    printed = {}
    for line in commands():
        program, *arguments = [words.get(word, word) for word in shlex.split(line)]
        if program == "lifecycle":
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, (line, result.output)
            printed[line] = result.stdout
        else:
            done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT)
            printed[line] = done.stdout
    assert len(printed) == 11
    page = printed["lifecycle audit DECISION_ID"]
    assert "2, promotion by ben" in page
    assert "3, rollback to 1 by eve" in page
    assert "250.5" not in page
    assert "Nothing that was checked contradicts the records." in page
    assert "250.5" in printed["lifecycle audit DECISION_ID --values"]
    assert "champion of release 1, champion of release 3" in printed["lifecycle audit DECISION_ID --otherwise"]
    assert "no document records which loads" in printed["lifecycle lineage BUNDLE"]
    assert "The same, the margin bit for bit." in printed["lifecycle replay DECISION_ID"]
    assert "The same, byte for byte." in printed["lifecycle rebuild CANDIDATE"]
    assert "The log is intact." in printed["python -m serving.log.verify DECISION_LOG"]


def test_the_table_names_every_check() -> None:
    named = set(re.findall(r"^\| `([a-z ]+)` \|", MANUAL, re.MULTILINE))
    assert named == {
        BUNDLE,
        DECISION_LOG,
        GATES,
        IN_FORCE,
        LEDGER,
        LEDGER_UP_TO,
        ONE_DECISION,
        RELEASE,
        REPLAY,
        TRAINING_DATA,
    }
