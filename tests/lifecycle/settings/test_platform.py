from pathlib import Path

from lifecycle.settings.platform import Settings


def test_a_copy_with_another_home_lies_there(tmp_path: Path) -> None:
    here = Settings(home=tmp_path / "here")
    assert here.root == (tmp_path / "here").resolve()
    assert here.model_copy(update={"home": tmp_path / "there"}).warehouse_path.parent == (tmp_path / "there").resolve()
    assert here.warehouse_path.parent == here.root


def test_a_relative_home_is_below_the_working_directory_and_a_tilde_is_the_users_home() -> None:
    assert Settings(home=Path("state")).root == Path.cwd() / "state"
    assert Settings(home=Path("~/state")).root == Path.home() / "state"
