"""The kernels' machine code: from a file that fits, else from numba, with the same bits and without a write."""

import hashlib
import importlib
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serving.scoring import compile_kernels, machine_code
from serving.scoring.forest import read_forest
from serving.scoring.machine_code import object_code, stored_file
from serving.scoring.margin import kernel as margin_kernel
from serving.scoring.margin.evaluator import Evaluation, Margins
from serving.scoring.shap.tree_shap import TreeShap
from tests.harness.paths import ROOT
from tests.harness.random_boosters import trained

NAMES = ("margin", "margin_single", "contributions")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of `__pycache__`, and a process that has loaded no kernel."""
    importlib.import_module("numba.core.ccallback")  # Else its bytecode would be written there first, which is slow.
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(machine_code, "_loaded", {})
    return stored_file("margin").parent


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A folder below which a process has written the kernels, and the files that it printed."""
    folder = tmp_path_factory.mktemp("stored")
    command = "runpy.run_module('serving.scoring.compile_kernels', run_name='__main__')"
    return folder, [Path(each) for each in run(folder, "runpy, numba.core.ccallback", command).split()]


@pytest.fixture(scope="module")
def stored(by_command: tuple[Path, list[Path]]) -> dict[str, bytes]:
    """The files that the command writes, by name."""
    return {path.name: path.read_bytes() for path in by_command[1]}


@pytest.fixture(scope="module")
def text() -> str:
    generator = np.random.default_rng(3)
    matrix = generator.normal(size=(400, 5))
    matrix[:, 4] = generator.integers(0, 9, 400)
    text: str = trained(
        matrix, (matrix[:, 0] + matrix[:, 1] > 0).astype(float), {"objective": "binary"}, 20, [4]
    ).model_to_string()
    return text


def outputs(text: str) -> bytes:
    """The bits of a model's margin and contributions."""
    forest = read_forest(text)
    row = [0.5] * forest.n_features
    evaluation = Evaluation(Margins.from_forest(forest))
    for place, value in enumerate(row):
        evaluation.buffer[place] = value
    return np.array([evaluation.predict(), *TreeShap.from_model_text(text).contributions(row)]).tobytes()


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.o")) if folder.exists() else []


@pytest.fixture
def compiled_at_once(stored: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of numba's compilation its earlier result: each of them takes seconds."""
    monkeypatch.setattr(machine_code, "object_code", lambda name, _: stored[stored_file(name).name][32:])


def copy(stored: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in stored.items():
        (folder / name).write_bytes(content)


def test_a_stored_kernel_has_the_bits_of_the_compiled_one(
    folder: Path, stored: dict[str, bytes], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = outputs(text)
    assert written(folder) == [], "Only the command writes"
    copy(stored, folder)
    monkeypatch.setattr(machine_code, "_loaded", {})
    monkeypatch.setattr(machine_code, "object_code", lambda *_: pytest.fail("compiled in spite of a file"))
    assert outputs(text) == compiled


@pytest.mark.usefixtures("compiled_at_once")
@pytest.mark.parametrize(
    "damage",
    [lambda old: old[:-1], lambda _old: b"", lambda old: old[:-1] + bytes([old[-1] ^ 1])],
    ids=["cut", "empty", "one bit"],
)
def test_a_damaged_file_is_named_and_written_again(
    folder: Path,
    stored: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes],
) -> None:
    copy(stored, folder)
    path = stored_file("margin")
    path.write_bytes(damage(stored[path.name]))
    with caplog.at_level(logging.WARNING):
        margin_kernel.kernel()
    assert str(path) in caplog.text
    assert "python -m serving.scoring.compile_kernels" in caplog.text
    assert compile_kernels.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0] == str(path)
    assert path.read_bytes()[:32] == hashlib.sha256(path.read_bytes()[32:]).digest()


def test_a_file_of_another_processor_or_version_is_not_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = stored_file("margin")
    for name, value in (("_processor", lambda: ("another", "")), ("_SOURCES", ("vectors.py",))):
        machine_code._key.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(machine_code, name, value)
            assert stored_file("margin") != own
    machine_code._key.cache_clear()
    assert stored_file("margin") == own


def test_a_kernel_that_can_raise_is_refused(folder: Path) -> None:
    import numba
    from numba import types

    def raises(number: int) -> float:
        if number == 0:
            raise ValueError
        return 1.0 / number

    with pytest.raises(
        RuntimeError, match=r"Expected the kernel raises to call nothing outside the C library, got .*Py"
    ):
        object_code("raises", lambda: numba.cfunc(types.float64(types.int64))(raises))


def run(folder: Path, imported: str, program: str) -> str:
    """Output of a new process whose `__pycache__` is below `folder`, but for those of `imported`."""
    code = f"import sys, {imported}; sys.pycache_prefix = {str(folder)!r}; {program}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True, timeout=120, umask=0o022
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_writes_and_a_new_process_needs_no_numba(by_command: tuple[Path, list[Path]]) -> None:
    folder, files = by_command
    assert [each.name.partition(".")[0] for each in files] == list(NAMES)
    assert all(each.is_relative_to(folder) for each in files)
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o644}, "The server may have another account"
    load = "from serving.scoring.margin.kernel import kernel; kernel(); print('numba' in sys.modules)"
    assert run(folder, "numpy, llvmlite.binding", load) == "False\n"


def test_a_folder_that_cannot_be_written_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("A file where the folder should be; root may write everywhere.")
    monkeypatch.setattr(machine_code, "object_code", lambda *_: b"code")
    assert compile_kernels.main([]) == 1
    assert "Expected a folder that this account may write, got" in capsys.readouterr().err


@pytest.mark.usefixtures("compiled_at_once")
def test_a_file_that_cannot_be_read_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored_file("margin").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        margin_kernel.kernel()
    assert "The machine code cannot be read; numba compiles it in memory: " in caplog.text
