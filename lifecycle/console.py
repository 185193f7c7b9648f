"""Where commands print what people read."""

import os
from typing import Final

from rich.console import Console

_WIDTH_OF_A_PIPE: Final = 400


def output() -> Console:
    """A console on standard output; into a pipe or a file it prints each table whole, however wide it is.

    Where there is no terminal rich assumes 80 columns, and cuts or breaks what is wider. The environment variable
    ``COLUMNS`` sets another width, as it does for rich.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_PIPE
    return console
