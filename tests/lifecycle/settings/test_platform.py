from pathlib import Path

import pytest

from lifecycle.settings.platform import Settings


def test_a_copy_with_another_home_lies_there(tmp_path: Path) -> None:
    here = Settings(home=tmp_path / "here")
    assert here.root == (tmp_path / "here").resolve()
    assert here.model_copy(update={"home": tmp_path / "there"}).warehouse_path.parent == (tmp_path / "there").resolve()
    assert here.warehouse_path.parent == here.root


def test_a_relative_home_is_below_the_working_directory_and_a_tilde_is_the_users_home() -> None:
    assert Settings(home=Path("state")).root == Path.cwd() / "state"
    assert Settings(home=Path("~/state")).root == Path.home() / "state"


def test_the_addresses_of_runs_and_runbooks_are_absolute_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().run_url("abc") == "http://127.0.0.1:3000/runs/abc"
    assert Settings().runbook_url_of("drift") == "docs/alerts.md#drift"
    monkeypatch.setenv("LIFECYCLE_DAGSTER_URL", "https://dagster.example/")
    monkeypatch.setenv("LIFECYCLE_RUNBOOK_URL", "https://git.example/risk/blob/main/")
    assert Settings().run_url("abc") == "https://dagster.example/runs/abc"
    assert Settings().runbook_url_of("drift") == "https://git.example/risk/blob/main/docs/alerts.md#drift"
