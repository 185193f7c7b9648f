"""Which code and which libraries made something."""

import os
import subprocess
from importlib.metadata import version

from lifecycle.settings.platform import PROJECT_ROOT

LIBRARIES = ("lightgbm", "numpy", "optuna", "scikit-learn", "scipy")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a model's bits depend on."""
    return {name: version(name) for name in LIBRARIES}


def code_commit() -> str | None:
    """The commit of the code: ``LIFECYCLE_CODE_COMMIT`` (set in images), else the checkout's; ``+`` marks changes."""
    stated = os.environ.get("LIFECYCLE_CODE_COMMIT")
    if stated:
        return stated
    if not (PROJECT_ROOT / ".git").exists():
        return None  # an installed wheel: a repository around the environment is another project's
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
