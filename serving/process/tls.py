"""The server's TLS files: read at the start and again at SIGHUP."""

import datetime as dt
import logging
import ssl
from typing import Any

from cryptography import x509

from serving.contract.documents import ContractError
from serving.settings import ServingSettings
from serving.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


def read_tls(settings: ServingSettings, metrics: Metrics) -> dict[str, Any]:
    """Arguments of uvicorn for HTTPS, empty without a certificate; `metrics` then shows the certificate's end.

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
        chain = settings.tls_certificate.read_bytes()
        for path in (settings.tls_key, settings.tls_client_ca):
            if path is not None:
                path.read_bytes()
        if settings.tls_key_password_file is not None:
            password = settings.tls_key_password_file.read_text().rstrip("\n")
    except OSError as error:
        raise ContractError(f"Expected a readable file, got {error.strerror} - at {error.filename}") from error
    except UnicodeDecodeError:
        raise ContractError("Expected a password in UTF-8 - at SERVING_TLS_KEY_PASSWORD_FILE") from None
    metrics.certificate_end_seconds = _checked_end(chain)
    files = {"ssl_certfile": str(settings.tls_certificate), "ssl_keyfile": str(settings.tls_key)}
    if settings.tls_client_ca is None:
        return files | {"ssl_keyfile_password": password}
    mutual = {"ssl_ca_certs": str(settings.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return files | mutual | {"ssl_keyfile_password": password}


def _checked_end(chain: bytes) -> float:
    """First end of validity in a chain, in seconds since 1970; warns if it has passed."""
    try:
        end = min(certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(chain))
    except ValueError:
        raise ContractError("Expected a certificate chain in PEM - at SERVING_TLS_CERTIFICATE") from None
    if end <= dt.datetime.now(dt.UTC):
        logger.warning("the TLS certificate ended on %s; replace it and send SIGHUP", end.isoformat())
    return end.timestamp()
