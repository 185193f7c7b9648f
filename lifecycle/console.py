"""The console that commands print tables on."""

import os
from typing import Final

from rich.console import Console

_WIDTH_OF_A_PIPE: Final = 400


def output() -> Console:
    """A console on standard output that never truncates a table printed into a pipe or a file.

    Without a terminal, rich assumes 80 columns and truncates wider tables. The environment variable ``COLUMNS`` sets
    another width, as it does for rich.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_PIPE
    return console
