"""Loads a model in a process of its own first, so that no crash or endless loop of native code reaches a server.

The process ``python -m serving.scoring.trial_load N_FEATURES`` reads a model text from standard input, and lets
LightGBM load it and score three rows. It costs a quarter of a second for each model.
"""

import math
import signal
import subprocess
import sys
import threading
from typing import Final

from serving.contract.documents import ContractError, digest
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.model_text import check_whole

TRIAL_SECONDS: Final = 60.0
_REFUSED: Final = 3
_MISSING, _ZERO, _LARGE = math.nan, 0.0, 1e30

_passed: set[str] = set()
_lock = threading.Lock()


def check_in_child(model_text: bytes, n_features: int) -> None:
    """Check that a process survives loading and scoring by `model_text`; a text that passed is not tried again.

    An error that LightGBM reports is no reason to refuse here: loading the model raises it.

    Raises
    ------
    NotWholeError
        If the text is damaged; no process is started.
    ContractError
        If LightGBM ends the process, or takes longer than a minute.
    """
    check_whole(model_text)
    key = f"{digest(model_text)} {n_features}"
    if key in _passed:
        return
    with _lock:
        if key not in _passed:
            _try(model_text, n_features)
            _passed.add(key)


def _try(model_text: bytes, n_features: int) -> None:
    command = [sys.executable, "-m", "serving.scoring.trial_load", str(n_features)]
    try:
        trial = subprocess.run(
            command, input=model_text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TRIAL_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ContractError(
            f"Expected LightGBM to load the model within {TRIAL_SECONDS:g} s, it did not - at model.txt"
        ) from None
    if trial.returncode < 0:
        raise ContractError(
            f"Expected LightGBM to load the model, but it ended the trial process with "
            f"{signal.Signals(-trial.returncode).name} - at model.txt"
        )
    if trial.returncode not in {0, _REFUSED}:
        lines = trial.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ContractError(f"Expected a trial process that loads the model, got: {lines[-1]} - at model.txt")


def main() -> int:
    """Load and score the model on standard input; returns the process's exit code."""
    from serving.scoring.scorer import lightgbm_margins

    n_features = int(sys.argv[1])
    try:
        margin = lightgbm_margins(sys.stdin.buffer.read(), n_features)
        for value in (_MISSING, _ZERO, _LARGE):
            margin([value] * n_features)
    except (ContractError, ScoringError):
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
