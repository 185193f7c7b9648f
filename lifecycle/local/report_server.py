"""A read-only server of the installation's HTML reports and of its metrics, on the loopback interface.

=============  ==========================================================
`/`            the reports, newest first
`/<path>`      one report; only ``.html`` files below `reports_dir`
`/metrics`     the metrics of the lifecycle (`lifecycle.local.exporter`)
`/healthz`     whether the server runs
=============  ==========================================================

It answers only requests for a loopback host: a site whose name resolves to this machine gets nothing.
"""

import html
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from lifecycle.local.exporter.collector import CONTENT_TYPE, Exporter
from lifecycle.settings.platform import Settings

HOST = "127.0.0.1"
LOOPBACK_NAMES = {"127.0.0.1", "localhost"}
INDEX_ROWS = 200
HTML = "text/html; charset=utf-8"
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'none'"
"""The pages of Evidently and dbt are scripts in one file; nothing is loaded from, or sent to, another address."""


class ReportServer(ThreadingHTTPServer):
    """Serves `settings.reports_dir` and the metrics; bound when it is created."""

    daemon_threads = True

    def __init__(self, settings: Settings, port: int) -> None:
        self.settings = settings
        self.exporter = Exporter(settings)
        super().__init__((HOST, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version, sys_version = "reports", ""
    timeout = 10

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        status, kind, body = self._found()
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def _found(self) -> tuple[HTTPStatus, str, bytes]:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in LOOPBACK_NAMES:
            return HTTPStatus.FORBIDDEN, "text/plain", b"Expected a loopback host\n"
        path, settings = unquote(urlsplit(self.path).path), self.server.settings
        if path == "/healthz":
            return HTTPStatus.OK, "text/plain", b"ok\n"
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self.server.exporter.exposition()
        if path == "/":
            return HTTPStatus.OK, HTML, index_page(settings.reports_dir).encode()
        report = report_file(settings.reports_dir, path)
        if report is None:
            return HTTPStatus.NOT_FOUND, "text/plain", b"No such report\n"
        return HTTPStatus.OK, HTML, report.read_bytes()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Requests are not logged."""


def report_file(folder: Path, path: str) -> Path | None:
    """The report that a URL path names; ``None`` unless it is an HTML file within `folder`, links resolved."""
    root = folder.resolve()
    try:
        file = (root / path.lstrip("/")).resolve()
        is_report = file.is_relative_to(root) and file.suffix == ".html" and file.is_file()
    except (ValueError, OSError):
        return None
    return file if is_report else None


def index_page(folder: Path) -> str:
    """Links to the newest reports."""
    root = folder.resolve()
    files = [file for file in root.rglob("*.html") if report_file(root, str(file.relative_to(root)))]
    files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    names = [file.relative_to(root).as_posix() for file in files[:INDEX_ROWS]]
    items = "".join(f'<li><a href="/{quote(name)}">{html.escape(name)}</a></li>' for name in names)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Reports</title></head>'
        f'<body style="font: 15px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 48rem"><h1>Reports</h1>'
        f'<ul>{items or "<li>There is no report yet.</li>"}</ul><p><a href="/metrics">Metrics</a></p></body></html>'
    )


def serve(settings: Settings, port: int) -> None:
    """Serve until the process is interrupted."""
    with ReportServer(settings, port) as server:
        server.serve_forever()


if __name__ == "__main__":
    serve(Settings(), int(sys.argv[1]))
