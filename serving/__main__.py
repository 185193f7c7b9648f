"""``lifecycle-serve`` or ``python -m serving``: one server, with one process or several."""

import argparse
import gc
import logging
import socket
import ssl
import sys
import textwrap
import traceback
import typing

from pydantic import ValidationError

from serving.contract.documents import ContractError
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
    try:
        settings = ServingSettings()
        if workers.is_worker():
            workers.end_with_supervisor()
            workers.share_metrics()
            _serve(settings, workers.worker_socket(settings), workers.worker_index())
            return
        _check_binding(settings)
        if settings.workers == 1:
            _serve(settings, workers.bound_socket(settings.host, settings.port))
            return
        bound = workers.shared_socket(settings)
        _log_address(settings, bound)
        sys.exit(workers.Supervisor(settings, bound).run())
    except ValidationError as error:
        sys.exit(f"Error: {settings_violation(error)}")
    except ContractError as error:
        sys.exit(f"Error: {error}")


def _serve(settings: ServingSettings, bound: socket.socket, worker: int | None = None) -> None:
    from serving.http.protocol import server_of
    from serving.process.app import create_app

    app = create_app(settings, worker)
    try:
        server = server_of(app, shutdown_seconds=settings.shutdown_seconds, tls=_tls(settings))
    except OSError as error:
        # OpenSSL's errors too: a key that does not match the certificate, or a wrong password.
        raise ContractError(
            f"Expected a certificate, its private key and authorities in PEM, got: {error.strerror} - at "
            "SERVING_TLS_CERTIFICATE, SERVING_TLS_KEY, SERVING_TLS_KEY_PASSWORD_FILE and SERVING_TLS_CLIENT_CA"
        ) from error
    app.state.start()
    if worker is None:
        _log_address(settings, bound)
    # Everything allocated so far stays: scanning it in each collection would delay requests by milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    server.run(sockets=[bound])
    if not server.started:
        sys.exit(1)


def _tls(settings: ServingSettings) -> dict[str, typing.Any]:
    """Arguments of uvicorn for HTTPS.

    Raises
    ------
    ContractError
        If a required setting is missing, or a file cannot be read.
    """
    if settings.tls_certificate is None:
        if settings.tls_key or settings.tls_client_ca or settings.tls_key_password_file:
            raise ContractError("Expected a certificate with the other TLS settings - at SERVING_TLS_CERTIFICATE")
        return {}
    if settings.tls_key is None:
        raise ContractError("Expected the certificate's private key - at SERVING_TLS_KEY")
    password = None
    try:
        for path in (settings.tls_certificate, settings.tls_key, settings.tls_client_ca):
            if path is not None:
                path.read_bytes()
        if settings.tls_key_password_file is not None:
            password = settings.tls_key_password_file.read_text().rstrip("\n")
    except OSError as error:
        raise ContractError(f"Expected a readable file, got {error.strerror} - at {error.filename}") from error
    except UnicodeDecodeError:
        raise ContractError("Expected a password in UTF-8 - at SERVING_TLS_KEY_PASSWORD_FILE") from None
    files = {"ssl_certfile": str(settings.tls_certificate), "ssl_keyfile": str(settings.tls_key)}
    if settings.tls_client_ca is None:
        return files | {"ssl_keyfile_password": password}
    mutual = {"ssl_ca_certs": str(settings.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return files | mutual | {"ssl_keyfile_password": password}


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
