"""``python -m lifecycle.local.snowflake``: start the endpoint and print the variables that connect to it."""

import argparse
import contextlib
import errno
import json
import os
import socket
import sys
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.local.snowflake import environment
from lifecycle.local.snowflake.options import ADDRESS, DEFAULT_HOME, DEFAULT_PORT, SETUP, Options
from serving.contract.distribution import DISTRIBUTION
from serving.storage.private_files import keep_files_private


def serve(options: Options, *, is_quiet: bool = False, as_json: bool = False) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises
    ------
    LifecycleError
        If fakesnow is not installed, or the port is in use.
    """
    listening = _listening(options.port)
    options.home.mkdir(parents=True, exist_ok=True)
    try:
        import uvicorn

        from lifecycle.local.snowflake.endpoint import Endpoint, Protocol
    except ModuleNotFoundError as error:
        listening.close()
        raise LifecycleError(
            f"Expected fakesnow, got no module {(error.name or '').partition('.')[0]} - the extra `dev` installs it. "
            f"Run `make setup`, or `pip install '{DISTRIBUTION}[lifecycle,snowflake,dev]'`."
        ) from error
    if not is_quiet:
        text = f"{json.dumps(environment(options.port))}\n" if as_json else _how_to_connect(options)
        sys.stdout.write(text)
        sys.stdout.flush()
    application = Endpoint(options).application()
    config = uvicorn.Config(
        application, http=Protocol, log_level="critical", lifespan="off", timeout_graceful_shutdown=2
    )
    with contextlib.closing(listening), contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        raise LifecycleError(
            f"Expected a free port, got {os.strerror(error.errno).lower()} - at {ADDRESS}:{port}. "
            "Choose another one with --port."
        ) from error
    return listening


def _how_to_connect(options: Options) -> str:
    lines = [f"export {name}={value}" for name, value in environment(options.port).items()]
    return "\n".join(
        [
            f"# Local endpoint on {ADDRESS}:{options.port}, files in {options.home.resolve()}. Stop it with Ctrl-C.",
            "# Run in another shell:",
            *lines,
            "",
        ]
    )


def main() -> None:
    """Read the command line and serve."""
    keep_files_private()
    parser = argparse.ArgumentParser("python -m lifecycle.local.snowflake", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME)
    parser.add_argument("--setup", type=Path, default=SETUP, help="script whose GRANT statements are shown")
    parser.add_argument("--log", type=Path, help="file for a JSON line per statement")
    parser.add_argument("--faults", action="store_true", help="let tests inject faults")
    parser.add_argument("--enforce", action="store_true", help="reject statements that the script does not grant")
    parser.add_argument("--public-key", type=Path, help="PEM of the key that the local user may log in with")
    parser.add_argument("--abandoned-seconds", type=float, default=300.0)
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    arguments = vars(parser.parse_args())
    is_quiet = arguments.pop("quiet")
    try:
        serve(Options(**arguments), is_quiet=is_quiet)
    except LifecycleError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
