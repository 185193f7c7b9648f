"""LightGBM's C library, found and bound without `import lightgbm`.

That import pulls in pandas and scikit-learn where they are installed, and takes seconds; opening the library takes
0.07 s.
"""

import ctypes
import functools
import importlib.util
import sys
from pathlib import Path

from serving.contract.documents import ContractError

_FILE_NAMES = {"darwin": "lib_lightgbm.dylib", "win32": "lib_lightgbm.dll"}
_FOLDERS = ("lib", "bin", ".")


class ScoringError(RuntimeError):
    """LightGBM failed to load or to score; the message is LightGBM's own and holds no customer's value."""


@functools.cache
def library() -> ctypes.CDLL:
    """The C library with the argument types of the functions used here, opened once.

    Raises
    ------
    ContractError
        If LightGBM is not installed, or the system lacks the OpenMP runtime that it needs.
    """
    path = _library_path()
    try:
        opened = ctypes.CDLL(str(path))
    except OSError as error:
        raise ContractError(missing_library_message(path, str(error))) from error
    return _bind(opened)


def check(status: int) -> None:
    """Raise `ScoringError` with LightGBM's last message if a call did not return 0."""
    if status != 0:
        raise ScoringError(f"LightGBM: {library().LGBM_GetLastError().decode(errors='replace')}")


def missing_library_message(path: Path, violation: str) -> str:
    """Error message for a system that cannot open the library."""
    if "libgomp" in violation:
        return (
            "Expected the system library libgomp.so.1, which LightGBM needs, but it is missing; install it with "
            f"`apt-get install libgomp1` (Debian, Ubuntu) or `dnf install libgomp` (Fedora, RHEL) - at {path}"
        )
    return f"Expected a library that this system can open, got: {violation} - at {path}"


def _library_path() -> Path:
    spec = importlib.util.find_spec("lightgbm")
    if spec is None or spec.origin is None:
        raise ContractError("Expected the package lightgbm, but it is not installed; install the dependencies")
    package = Path(spec.origin).parent
    name = _FILE_NAMES.get(sys.platform, "lib_lightgbm.so")
    for folder in _FOLDERS:
        path = package / folder / name
        if path.is_file():
            return path
    raise ContractError(f"Expected {name} in one of {list(_FOLDERS)}, found none; reinstall lightgbm - in {package}")


def _bind(opened: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    to_pointer, to_integer = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int)
    to_length, to_double = ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_double)
    opened.LGBM_GetLastError.restype = text
    opened.LGBM_GetLastError.argtypes = []
    opened.LGBM_BoosterLoadModelFromString.argtypes = [text, to_integer, to_pointer]
    opened.LGBM_BoosterGetNumClasses.argtypes = [pointer, to_integer]
    opened.LGBM_BoosterGetNumFeature.argtypes = [pointer, to_integer]
    opened.LGBM_BoosterSaveModelToString.argtypes = [
        pointer, integer, integer, integer, ctypes.c_int64, to_length, text,
    ]  # fmt: skip
    opened.LGBM_BoosterFree.argtypes = [pointer]
    opened.LGBM_BoosterPredictForMatSingleRowFastInit.argtypes = [
        pointer, integer, integer, integer, integer, ctypes.c_int32, text, to_pointer,
    ]  # fmt: skip
    opened.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [pointer, pointer, to_length, to_double]
    opened.LGBM_FastConfigFree.argtypes = [pointer]
    return opened
