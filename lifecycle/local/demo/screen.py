"""Terminal output of the demonstration."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lifecycle.console import output


class Screen:
    """Prints steps with their duration, a spinner with progress, and permanent notes."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or output()
        self._number = 0
        self._sent = 0
        self._detail = ""
        self._title = ""
        self._started = 0.0
        self._live: Live | None = None

    @contextmanager
    def step(self, title: str, *, is_due: bool = True) -> Iterator[None]:
        """Show a step while it runs, and its duration once it is done."""
        self._number += 1
        if not is_due:
            self.console.print(f"[dim]{self._number}. {title}: already done[/]", soft_wrap=True)
            yield
            return
        self._title, self._started, self._detail, self._sent = title, time.monotonic(), "", 0
        if not self.console.is_terminal:
            self.console.print(f"{self._number}. {title} ...", soft_wrap=True)
        with Live(console=self.console, refresh_per_second=8, transient=True) as live:
            self._live = live if self.console.is_terminal else None
            self._refresh()
            yield
            self._live = None
        seconds = time.monotonic() - self._started
        self.console.print(f"[green]✓[/] {self._number}. {title} [dim]({seconds:.0f} s)[/]", soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a permanent line."""
        self.console.print(Text(f"     {text}", style="dim"), soft_wrap=True)

    def advance(self, done: int, total: int) -> None:
        """Show the progress of a step of known length."""
        self._detail = f"{done} of {total}"
        self._refresh()

    def sent(self, requests: int) -> None:
        """Count answered requests."""
        self._sent += requests
        self._detail = f"{self._sent:,} requests"
        if self._sent % 100 == 0:
            self._refresh()

    def poll(self, is_done: Callable[[], bool], timeout_seconds: float, on_wait: Callable[[], None]) -> bool:
        """Poll several times a second; ``False`` on a timeout."""
        deadline = time.monotonic() + timeout_seconds
        while not is_done():
            on_wait()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.25)
        return True

    def table(self, table: Table) -> None:
        """Print a permanent table."""
        self.console.print(table)

    def _refresh(self) -> None:
        if self._live is not None:
            detail = f" [dim]{self._detail}[/]" if self._detail else ""
            self._live.update(Spinner("dots", f"{self._number}. {self._title}{detail}"))
