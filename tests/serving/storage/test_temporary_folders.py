"""Temporary folders: private, locked while in use, removed by the next one if nothing holds them."""

from pathlib import Path

import pytest

from serving.storage.temporary_folders import temporary_folder


def test_a_folder_that_nothing_holds_is_removed_by_the_next_and_one_in_use_or_of_another_name_is_not(
    tmp_path: Path,
) -> None:
    abandoned = tmp_path / ".0123456789abcdef.tmp"
    abandoned.mkdir()
    (abandoned / "log").write_text("rows")
    (tmp_path / ".pointer.tmp").write_text("a file has no lock")
    (tmp_path / "finished").mkdir()
    with temporary_folder(tmp_path) as first, temporary_folder(tmp_path) as second:
        assert {path.name for path in tmp_path.iterdir()} == {first.name, second.name, "finished", ".pointer.tmp"}
        assert first.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == {"finished", ".pointer.tmp"}


def test_a_folder_that_is_moved_stays_and_one_of_a_failed_block_goes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with temporary_folder(root) as folder:
        (folder / "rows").write_text("1")
        folder.rename(root / "finished")
    assert (root / "finished" / "rows").read_text() == "1"
    with pytest.raises(NotADirectoryError), temporary_folder(root) as folder:
        _write_half(folder)
    assert [path.name for path in root.iterdir()] == ["finished"]


def _write_half(folder: Path) -> None:
    (folder / "rows").write_text("1")
    (folder / "rows" / "further").mkdir()
