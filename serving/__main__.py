"""``lifecycle-serve`` or ``python -m serving``: one server process."""

import logging
import socket
import sys
import traceback

import uvicorn
from pydantic import ValidationError

from serving.app import create_app
from serving.contract import ContractError
from serving.settings import ServingSettings


class ValuelessTracebacks(logging.Filter):
    """Cuts an exception's message out of a log record: it may quote a customer's value; where it arose stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, its traceback without messages."""
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, frames = record.exc_info
            record.exc_text = f"{''.join(traceback.format_tb(frames))}{kind.__name__}"
            record.exc_info = None
        return True


def main() -> None:
    """Serve until SIGTERM or SIGINT; whatever keeps it from starting is said in one line, and it exits with 1."""
    _log_to_stderr()
    try:
        settings = ServingSettings()
        app = create_app(settings)
        bound = bound_socket(settings.host, settings.port)
        app.state.start()
    except ValidationError as error:
        sys.exit(f"Error: {settings_complaint(error)}")
    except ContractError as error:
        sys.exit(f"Error: {error}")
    host, port = bound.getsockname()[:2]
    logging.getLogger("serving").info("serving on http://%s:%d", host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            http="httptools",
            lifespan="on",
            server_header=False,
            # Longer than clients keep idle connections, so that none is closed under a request that is on its way.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
    )
    server.run(sockets=[bound])
    if not server.started:
        sys.exit(1)


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket's address taken, so that a busy port is said before anything is loaded.

    Raises
    ------
    ContractError
        If the address cannot be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ContractError(
            f"Expected the address {host}:{port} to be free, got: {error.strerror}; stop what listens there or set "
            "SERVING_PORT"
        ) from error
    return bound


def settings_complaint(error: ValidationError) -> str:
    """What is wrong with the environment, by variable, without the values."""
    faults = [
        f"{fault['msg']} - at SERVING_{str(fault['loc'][0]).upper()}" for fault in error.errors(include_input=False)
    ]
    return "; ".join(faults)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(ValuelessTracebacks())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


if __name__ == "__main__":
    main()
