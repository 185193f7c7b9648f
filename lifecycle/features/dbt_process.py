"""The child process that is dbt: its command line, and an end when the process that started it ends.

Without that, a build that is killed would leave a dbt behind that goes on holding the warehouse's file after
the lock is free.
"""

import os
import signal
import threading
import time

WATCH_EVERY_SECONDS = 0.1


def end_with_parent() -> None:
    """Watch the parent process from a thread, and end this one at once when it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_EVERY_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run dbt with this process's arguments."""
    end_with_parent()
    from dbt.cli.main import cli

    cli()


if __name__ == "__main__":
    main()
