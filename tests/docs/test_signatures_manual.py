"""docs/signatures.md: its commands run as they are written."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from tests.harness.model_signing_client import client
from tests.harness.paths import ROOT
from tests.harness.small_models import MODEL, SmallStore

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "signatures.md").read_text(), re.DOTALL)


def test_the_commands_of_the_manual_verify_a_bundle(
    store: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE_HOME", str(store.settings.home))
    digest = store.seal(1)
    store.releases.publish(MODEL, digest, by="ana", reason="first")
    copy = shutil.copytree(store.settings.release_store / "bundles" / digest, tmp_path / "BUNDLE")
    key_line, verify_line = BLOCKS[0].splitlines()
    command, _, target = key_line.partition(" > ")
    (tmp_path / target).write_text(CliRunner().invoke(app, shlex.split(command)[1:]).stdout)
    places = {"BUNDLE": str(copy), "BUNDLE/model.sig": str(copy / "model.sig"), target: str(tmp_path / target)}
    program, *arguments = shlex.split(verify_line)
    assert program == "model_signing"
    answer = client(*(places.get(argument, argument) for argument in arguments))
    assert (answer.returncode, answer.stdout) == (0, "Verification succeeded\n"), answer.stderr
    assert f"lifecycle {shlex.split(command)[1]} DIGEST" in (ROOT / "docs" / "signatures.md").read_text()
