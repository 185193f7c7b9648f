"""The environment of child programs: made here from an allow-list, never inherited whole.

A variable in a user's shell (``DBT_FULL_REFRESH``, ``DBT_EMPTY``, ``MLFLOW_REGISTRY_URI``, ``PYTHONPATH``, ``GIT_DIR``,
a proxy) must not change what a build, a training or a registration does. The settings of the installation have their
own prefix, ``LIFECYCLE_``.
"""

import getpass
import os
from collections.abc import Mapping

from lifecycle import FIXED_VARIABLES

PASSED = frozenset(
    [
        *(
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "SHELL",
            "TMPDIR",
            "LD_LIBRARY_PATH",
            "LANG",
            "LANGUAGE",
            "LC_ALL",
            "LC_CTYPE",
        ),
        *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"),
    ]
)
"""Variables that every program gets: where programs and temporary files are, the language, and how a terminal shows
what a command prints."""

SETTINGS_PREFIX = "LIFECYCLE_"
SERVER_PREFIXES = ("SERVING_", "OTEL_")
"""Settings of the inference server, and of its spans' exporter."""

INTERNAL_PREFIXES = ("SERVING_WORKER_",)
"""Variables between a server and its workers; from a shell they would turn the server into a worker."""

FURTHER_VARIABLE = "LIFECYCLE_CHILD_VARIABLES"
"""Names of further variables to pass on, separated by commas: an operator's proxy or certificates, for example
``HTTPS_PROXY,SSL_CERT_FILE``."""


def child_environment(*prefixes: str) -> dict[str, str]:
    """The environment of a child program; from this process it gets names with `prefixes` and those always passed."""
    return _allowed(os.environ, prefixes)


def forget_foreign_variables() -> None:
    """Reduce the environment of this process to its allow-list, for libraries that read it in this process.

    For the start of a program of ours; never for a process that another program started for itself.
    """
    allowed = _allowed(os.environ, (SETTINGS_PREFIX, *SERVER_PREFIXES))
    for name in set(os.environ) - set(allowed):
        del os.environ[name]
    os.environ.update(allowed)


def forget_variables(*prefixes: str) -> None:
    """Remove the variables with `prefixes` from the environment of this process, all but those of `FIXED_VARIABLES`."""
    for name in [name for name in os.environ if name.startswith(prefixes) and name not in FIXED_VARIABLES]:
        del os.environ[name]


def user_name() -> str:
    """Name of the person who runs this process; ``uid 4711`` for a user id without a name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Python 3.13 raises the second one
        return f"uid {os.getuid()}"


def _allowed(environment: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    further = {name.strip() for name in environment.get(FURTHER_VARIABLE, "").split(",")}
    allowed = {
        name: value
        for name, value in environment.items()
        if (name in PASSED or name in further or name.startswith(prefixes)) and not name.startswith(INTERNAL_PREFIXES)
    }
    # Libraries ask for a user's name without an answer for those that have none; MLflow fails at it.
    return {"LOGNAME": user_name()} | allowed | FIXED_VARIABLES
