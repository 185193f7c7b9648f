"""docs/gates.md: the command of its section on the validation report runs, and the section is linked."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from lifecycle.assets.resources import Stores
from lifecycle.cli import app
from lifecycle.modelling.training import train
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import COMPONENT, read_model
from tests.harness.commands import said
from tests.harness.paths import ROOT
from tests.harness.toy_home import FIRST_AS_OF, SHORT
from tests.harness.toy_model import SPEC, card_table
from tests.harness.toy_platform import judge, keep, without_reasons

MANUAL = (ROOT / "docs" / "gates.md").read_text()


def test_the_validation_reports_command_runs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models" / "toy" / "defs.yaml"
    path.parent.mkdir(parents=True)
    shown = {name: value for name, value in (SPEC | SHORT).items() if value is not None}
    path.write_text(yaml.safe_dump({"type": COMPONENT, "attributes": shown}))
    monkeypatch.setenv("LIFECYCLE_MODELS", str(path.parent.parent))
    monkeypatch.chdir(tmp_path)
    settings.root.mkdir(parents=True)
    spec = read_model("toy")
    trained = without_reasons(train(spec, examples_from_table(card_table(), spec), FIRST_AS_OF))
    judge(Stores(), keep(Stores(), trained, as_of=FIRST_AS_OF))
    [line] = re.findall(r"^lifecycle report .*$", MANUAL, re.MULTILINE)
    answer = said(app, *shlex.split(line.replace("MODEL", "toy"))[1:])
    assert "The report is in report.html" in answer
    assert "<h1>Validation of toy</h1>" in (tmp_path / "report.html").read_text()


def test_the_readme_links_the_section() -> None:
    assert "## Validation report" in MANUAL
    assert "docs/gates.md#validation-report" in (ROOT / "README.md").read_text()
