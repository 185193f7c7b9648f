"""What an installation stores of its first start."""

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.installation import prepare
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
