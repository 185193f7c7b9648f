"""Modes of the files of an installation, and programs that are started with an open umask."""

import os
import stat
import subprocess
import sys
from pathlib import Path

OPEN_UMASK = 0o022
"""What most systems give a user's shell."""


def open_paths(home: Path) -> list[str]:
    """Paths below the home, itself included, that others have a permission on, or files that can be executed."""
    opened = []
    for path in (home, *home.rglob("*")):
        mode = path.lstat().st_mode
        allowed = 0o700 if stat.S_ISDIR(mode) else 0o600
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & ~allowed:
            opened.append(f"{path.relative_to(home)} {stat.S_IMODE(mode):04o}")
    return sorted(opened)


def run_lifecycle(home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the `lifecycle` command in a process of its own, with an open umask."""
    return run_python("from lifecycle.cli import main; main()", *arguments, LIFECYCLE_HOME=str(home), **variables)


def run_python(code: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process of its own, with an open umask."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        umask=OPEN_UMASK,
    )
