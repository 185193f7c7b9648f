"""docs/approvals.md: its commands run in their order, and its table names every key."""

import datetime as dt
import re
import shlex

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.spec.risk_model import PromotionSpec
from tests.harness.paths import ROOT
from tests.harness.small_models import MODEL, SmallStore

MANUAL = (ROOT / "docs" / "approvals.md").read_text()


def test_the_commands_of_the_manual_run(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    bundle = store.seal(1)
    day = str(dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30))
    lines = [line for block in re.findall(r"```bash\n(.*?)```", MANUAL, re.DOTALL) for line in block.splitlines()]
    for line in lines:
        words = shlex.split(line.replace("DIGEST", bundle[:12]).replace("DATE", day))
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)
    acts = store.releases.consents.of(MODEL)
    assert [(act.name, act.gate, act.is_withdrawal) for act in acts] == [
        ("anna", None, False),
        ("ben", None, False),
        ("ben", None, True),
        ("anna", "above_floor", False),
        ("anna", "above_floor", True),
    ]


def test_the_table_names_every_key_of_the_policy() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \|", MANUAL, re.MULTILINE)) | {"mode"} == set(PromotionSpec.model_fields)
