"""``lifecycle-serve`` or ``python -m serving``: one server, with one process or several."""

import argparse
import functools
import gc
import logging
import signal
import socket
import sys
import textwrap
import traceback
from types import FrameType
from typing import NoReturn

from pydantic import ValidationError
from pydantic_settings import SettingsError

from serving.contract.documents import ContractError
from serving.http.signals import Signals
from serving.process import workers
from serving.process.log_output import QueuedHandler, take_over_stderr
from serving.settings import ServingSettings
from serving.storage.private_files import keep_files_private

_EPILOG = """\
example:
  SERVING_STORE=.lifecycle/release_store SERVING_PUBLIC_KEY=.lifecycle/keys/public_key.pem \\
  SERVING_PSEUDONYM_KEY=.lifecycle/keys/pseudonym.key SERVING_LOG_DIR=.lifecycle/decision_log \\
  SERVING_CACHE_DIR=.lifecycle/serving_cache python -m serving

see also:
  python -m serving.access --help        make, list and revoke API keys
  python -m serving.log.verify --help    check the decision log's checksums and seals
"""


class RedactedTracebacks(logging.Filter):
    """Removes exception messages from log records, since they may quote a customer's value; stack frames stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record on, its traceback without messages."""
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, frames = record.exc_info
            record.exc_text = f"{''.join(traceback.format_tb(frames))}{kind.__name__}"
            record.exc_info = None
        return True


def main() -> None:
    """Serve until SIGTERM or SIGINT; if the server cannot start, print one line and exit with status 1."""
    _parser().parse_args()
    keep_files_private()
    _log_to_stderr()
    signals = _reload_on_hangup()
    try:
        settings = ServingSettings()
        if workers.is_worker():
            workers.end_with_supervisor()
            workers.share_metrics()
            _serve(settings, workers.worker_socket(settings), signals, workers.worker_index())
            return
        _check_binding(settings)
        if settings.workers == 1:
            _serve(settings, workers.bound_socket(settings.host, settings.port), signals)
            return
        bound = workers.shared_socket(settings)
        _log_address(settings, bound)
        sys.exit(workers.Supervisor(settings, bound).run())
    except ValidationError as error:
        _fail(settings_violation(error))
    except SettingsError:
        # The only setting that is not a single value.
        _fail('Expected a JSON list such as ["card_fraud"] - at SERVING_REQUIRED_MODELS')
    except ContractError as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    """Exit because the server cannot start; the supervisor tells that from a crash by the status."""
    sys.stderr.write(f"Error: {reason}\n")
    sys.exit(workers.CANNOT_START if workers.is_worker() else 1)


def _serve(settings: ServingSettings, bound: socket.socket, signals: Signals, worker: int | None = None) -> None:
    from serving.http.listener import listener_of
    from serving.process.app import create_app
    from serving.process.tls import read_tls

    app = create_app(settings, worker, signals)
    server = listener_of(
        app,
        signals=signals,
        shutdown_seconds=settings.shutdown_seconds,
        drain_seconds=settings.drain_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        tls=functools.partial(read_tls, settings, app.parts.metrics),
    )
    app.state.start()
    if worker is None:
        _log_address(settings, bound)
    # Everything allocated so far stays: scanning it in each collection would delay requests by milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    server.run(sockets=[bound])
    if not server.started:
        sys.exit(1 if worker is None else workers.CANNOT_START)


def _reload_on_hangup() -> Signals:
    """From now on SIGHUP asks for the certificates to be loaded again and does not end this process."""
    signals = Signals()

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        signals.is_reload_due = True

    signal.signal(signal.SIGHUP, hang_up)
    # A supervisor starts its workers with the signal blocked, so that it does not end one that has no handler yet.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    return signals


def _check_binding(settings: ServingSettings) -> None:
    from serving.access.api_keys import check_binding

    check_binding(
        settings.host, keys_configured=settings.api_keys is not None, has_tls=settings.tls_certificate is not None
    )


def settings_violation(error: ValidationError) -> str:
    """The invalid settings by environment variable, without their values."""
    violations = error.errors(include_input=False)
    return "; ".join(f"{each['msg']} - at SERVING_{str(each['loc'][0]).upper()}" for each in violations)


def _log_address(settings: ServingSettings, bound: socket.socket) -> None:
    host, port = bound.getsockname()[:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    logging.getLogger("serving").info("serving on %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, port)


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="python -m serving",
        description=f"Serves the released models over HTTP.\n\n{settings_help()}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def settings_help() -> str:
    """Every setting with its default and description, for a terminal."""
    lines = ["settings, as environment variables:"]
    for name, field in ServingSettings.model_fields.items():
        default = "required" if field.is_required() else "not set" if field.default is None else f"{field.default}"
        lines.append(f"  SERVING_{name.upper()} ({default or 'empty'})")
        text = " ".join((field.description or "").replace("`", "").split())
        lines += textwrap.wrap(text, 100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _log_to_stderr() -> None:
    handler = QueuedHandler(take_over_stderr())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactedTracebacks())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


if __name__ == "__main__":
    main()
