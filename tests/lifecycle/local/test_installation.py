"""What an installation stores of its first start."""

from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.installation import DAGSTER_YAML, prepare, write_dagster_yaml
from lifecycle.settings.platform import Settings


def test_the_profile_of_the_first_start_is_the_installations(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE_PROFILE", "demo")
    prepare(Settings())
    monkeypatch.delenv("LIFECYCLE_PROFILE")
    assert Settings().profile == "demo"
    assert Settings().is_demonstration
    assert Settings(home=settings.root / "other").profile is None
    prepare(Settings())
    monkeypatch.setenv("LIFECYCLE_PROFILE", "production")
    with pytest.raises(LifecycleError, match=r"Expected the profile 'demo' of this installation, got 'production'"):
        prepare(Settings())


def test_an_installation_in_production_never_becomes_a_demonstration(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(settings)
    monkeypatch.setenv("LIFECYCLE_PROFILE", "demo")
    with pytest.raises(LifecycleError, match=r"Expected the profile None .* unset LIFECYCLE_PROFILE"):
        prepare(Settings())
    monkeypatch.delenv("LIFECYCLE_PROFILE")
    monkeypatch.setenv("LIFECYCLE_TARGET", "snowflake")
    with pytest.raises(LifecycleError, match=r"Expected the target 'duckdb' of this installation"):
        prepare(Settings())


def test_stored_settings_that_cannot_be_read_name_the_file(settings: Settings) -> None:
    settings.root.mkdir()
    (settings.root / "installation.json").write_text("{")
    with pytest.raises(LifecycleError, match=r"in .*installation\.json"):
        Settings()


def test_an_older_file_of_dagster_stays_and_what_it_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dagster.yaml"
    assert write_dagster_yaml(path) == []
    assert path.read_text() == DAGSTER_YAML
    assert write_dagster_yaml(path) == []
    older = (
        "telemetry: {enabled: true}\nnux: {enabled: false}\nrun_monitoring: {enabled: true, start_timeout_seconds: 1}\n"
    )
    path.write_text(older)
    notices = write_dagster_yaml(path)
    assert path.read_text() == older
    assert [notice.split(",")[0] for notice in notices] == [
        "Expected a value of concurrency.pools.default_limit",
        "Expected a value of concurrency.pools.granularity",
        "Expected a value of concurrency.runs.max_concurrent_runs",
        "Expected a value of run_monitoring.max_runtime_seconds",
    ]
    assert notices[-1].endswith(f"got none; this version sets 21600 - in {path}")
    path.write_text("telemetry: [")
    with pytest.raises(LifecycleError, match=r"Expected Dagster's settings as YAML"):
        write_dagster_yaml(path)
