"""Files of an installation belong to its owner alone, whichever program comes first."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.local.private_home import repair_home
from lifecycle.settings.platform import Settings
from serving.storage.private_files import make_private
from tests.harness.imports import sources
from tests.harness.private_home import OPEN_UMASK, open_paths, run_lifecycle, run_python
from tests.harness.server_process import URL, eventually, served
from tests.harness.small_models import SmallStore, score_request


@pytest.mark.long
def test_the_first_command_makes_a_private_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shown = run_lifecycle(home, "warehouse", "status")
    assert shown.returncode == 0, shown.stderr
    assert (home / "warehouse.duckdb").is_file()
    assert open_paths(home) == []


@pytest.mark.long
def test_init_makes_a_private_home_and_repairs_one_that_is_open(tmp_path: Path) -> None:
    home = tmp_path / "home"
    mlflow = home / "mlflow"
    mlflow.mkdir(parents=True)
    mlflow.chmod(0o755)
    (mlflow / "mlflow.db").touch()
    (mlflow / "mlflow.db").chmod(0o644)
    home.chmod(0o700)
    made = run_lifecycle(home, "init")
    assert made.returncode == 0, made.stderr
    assert "Closed 1 files and 1 folders that other users had permissions on" in made.stderr
    assert open_paths(home) == []
    assert run_lifecycle(home, "init").stderr == ""


@pytest.mark.long
@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.argv[1:] = ['list', '--file', '/nonexistent/keys']; from serving.access import commands as m",
        "import sys; sys.modules['dbt.cli.main'] = None; import lifecycle.features.dbt_process as m",
        "import sys; sys.argv[1:] = ['--port', '99999']; import lifecycle.local.snowflake.__main__ as m",
        "import serving.__main__ as m",
        "import sys; sys.argv[1:] = ['no number']; import lifecycle.artefacts.sandbox.standby as m",
    ],
    ids=["serving.access", "dbt_process", "snowflake", "serving", "standby"],
)
def test_every_program_creates_private_files(code: str, tmp_path: Path) -> None:
    """Each program sets the umask before it does anything else, so that even a failed start has set it."""
    probe = f"""
import os, pathlib
{code}
try:
    m.main()
except BaseException: pass
pathlib.Path({str(tmp_path)!r}, 'made').touch()
"""
    result = run_python(probe)
    assert (tmp_path / "made").is_file(), result.stderr
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


WITHOUT_PRIVATE_FILES = {
    "lifecycle.local.report_server",
    "serving.log.verify",
    "serving.scoring.compile_kernels",
    "serving.scoring.trial_load",
    "serving.access",
}
"""They write nothing, but for the kernels' code, which every account may read, as the package's own.

`serving.access.__main__` is the module behind its commands, which set the umask.
"""


def test_no_program_is_left_out() -> None:
    """A module that can be run sets the umask, or is named here with the reason."""
    runnable = [path for path in sources("lifecycle", "serving") if '__name__ == "__main__"' in path.read_text()]
    without = {
        ".".join(path.with_suffix("").parts[-3:]).removesuffix(".__main__")
        for path in runnable
        if "keep_files_private()" not in path.read_text()
    }
    assert without == WITHOUT_PRIVATE_FILES
    assert len(runnable) >= 6


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)


@pytest.mark.long
def test_the_server_keeps_its_cache_log_and_metrics_private(tmp_path: Path) -> None:
    with umask(0o077):
        store = SmallStore.under(tmp_path / "home")
        store.publish(1)
    with umask(OPEN_UMASK), served(store, SERVING_WORKERS="2") as server:
        eventually(lambda: server.client.get("/readyz").status_code == 200)
        assert server.client.post(URL, json=score_request()).status_code == 200
        server.stop()
    written = {path.parent.name for path in store.settings.root.rglob("*") if path.is_file()}
    assert {"decision_log", "metrics"} & written
    assert len(store.decisions()) == 1
    assert open_paths(store.settings.root) == []


def test_a_repair_leaves_the_keys_to_a_person_and_follows_no_link(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    outside = tmp_path / "outside"
    outside.touch(0o644)
    settings.keys_dir.mkdir(parents=True)
    for path in (settings.keys_dir / "signing_key.pem", settings.root / "alerts.jsonl"):
        path.touch()
        path.chmod(0o644)
    (settings.root / "link").symlink_to(outside)
    settings.root.chmod(0o755)
    message = repair_home(settings)
    assert message is not None
    assert "Closed 1 files and" in message
    assert stat.S_IMODE((settings.keys_dir / "signing_key.pem").stat().st_mode) == 0o644
    assert stat.S_IMODE((settings.root / "alerts.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_a_private_home_or_none_needs_no_repair(tmp_path: Path) -> None:
    assert repair_home(Settings(home=tmp_path / "none")) is None
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "file").touch(0o600)
    assert repair_home(Settings(home=home), is_whole=True) is None


def test_what_cannot_be_changed_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    assert make_private(home).failed == (home,)
    message = repair_home(Settings(home=home))
    assert message is not None
    assert f"chmod -R go-rwx '{home}'" in message
