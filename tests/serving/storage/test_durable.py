"""Atomic files and folders, and the names that a killed writer leaves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from serving.storage import durable
from serving.storage.durable import create_once, replacing, write_file, write_folder


class Killed(BaseException):
    """Ends a writer where a crash point is."""


def killed_at(monkeypatch: pytest.MonkeyPatch, point: str, write: Callable[[], object]) -> None:
    """Kill a writer at a point; its own clean-up runs, unlike that of a killed process."""

    def crash_point(name: str) -> None:
        if name == point:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(durable, "crash_point", crash_point)
        with pytest.raises(Killed):
            write()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    for content in (b"1", b"2"):
        write_file(path, content)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("is_sole_writer", [False, True])
def test_a_write_that_ends_before_the_rename_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_sole_writer: bool
) -> None:
    write_file(tmp_path / "file", b"1")
    killed_at(monkeypatch, "file.written", lambda: write_file(tmp_path / "file", b"2", is_sole_writer=is_sole_writer))
    assert (tmp_path / "file").read_bytes() == b"1"
    assert names(tmp_path) == ["file"]


def test_a_sole_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".file.tmp").write_bytes(b"half")
    write_file(tmp_path / "file", b"1", is_sole_writer=True)
    assert names(tmp_path) == ["file"]


def test_concurrent_writers_have_temporary_names_of_their_own(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as first, replacing(tmp_path / "file") as second:
        assert first != second
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert (tmp_path / "file").read_bytes() == b"1"


def test_a_folder_that_exists_stays_unless_it_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_folder(folder, {"a": b"1", "b": b"2"})
    write_folder(folder, {"a": b"3"})
    assert [(folder / name).read_bytes() for name in names(folder)] == [b"1", b"2"]
    write_folder(folder, {"a": b"3"}, is_replacing=True)
    assert [(folder / name).read_bytes() for name in names(folder)] == [b"3"]
    assert (folder.stat().st_mode & 0o777, names(tmp_path)) == (0o700, ["folder"])


def test_a_folder_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, "folder.written", lambda: write_folder(tmp_path / "folder", {"a": b"1"}))
    assert names(tmp_path) == []


def test_a_file_is_created_once(tmp_path: Path) -> None:
    assert create_once(tmp_path / "file", b"1", "test")
    assert not create_once(tmp_path / "file", b"2", "test")
    assert (tmp_path / "file").read_bytes() == b"1"
    assert ((tmp_path / "file").stat().st_mode & 0o777, names(tmp_path)) == (0o600, ["file"])
