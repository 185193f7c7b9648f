"""The code commit and the library versions that produced an artefact."""

import os
import subprocess
from importlib.metadata import version

from lifecycle.settings.child_environment import child_environment
from lifecycle.settings.platform import PROJECT_ROOT

LIBRARIES = ("lightgbm", "numpy", "optuna", "scikit-learn", "scipy")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that determine a model's bits."""
    return {name: version(name) for name in LIBRARIES}


def code_commit() -> str | None:
    """Commit from ``LIFECYCLE_CODE_COMMIT`` (set in images), else of the checkout; ``+`` marks local changes."""
    configured = os.environ.get("LIFECYCLE_CODE_COMMIT")
    if configured:
        return configured
    if not (PROJECT_ROOT / ".git").exists():
        return None  # an installed wheel: a repository around the environment belongs to another project
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), *arguments],
            env=child_environment(),  # a hook of git sets GIT_DIR, which would win over -C
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
