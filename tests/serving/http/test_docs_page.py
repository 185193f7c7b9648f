"""The documentation page: served whole from this server, under a policy that lets the browser load nothing else."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from serving.http.routes.docs import ASSETS, PAGE_HEADERS, SECURITY_HEADERS
from serving.process.app import create_app, needed_scope
from tests.harness.api import settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.small_models import SmallStore


@pytest.fixture
def client(store: SmallStore) -> Iterator[InProcessClient]:
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        yield client


class Page(HTMLParser):
    """A page as a browser reads it: the elements with their attributes, and the text inside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in {"script", "style"}:
            self.inline += data.strip()


def directives(policy: str) -> dict[str, str]:
    return {name: rest for name, _, rest in (directive.strip().partition(" ") for directive in policy.split(";"))}


def test_the_page_has_no_inline_script_style_or_handler(client: InProcessClient) -> None:
    page = Page(client.get("/docs").text)
    assert page.inline == ""
    attributes = [name for _, each in page.elements for name in each]
    assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_every_file_that_the_page_references_is_served_by_this_server(client: InProcessClient) -> None:
    page = Page(client.get("/docs").text)
    references = [attributes[name] for _, attributes in page.elements for name in ("src", "href") if name in attributes]
    paths = [urljoin("/docs", reference or "") for reference in references]
    assert sorted(paths) == sorted(f"/docs/{name}" for name in ASSETS)
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == ASSETS[path.rpartition("/")[2]][1]
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert needed_scope("GET", path) == "read"


def test_the_start_script_calls_swagger_ui_with_the_document_of_this_server(client: InProcessClient) -> None:
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    [url] = re.findall(r'url: "(.*?)"', client.get("/docs/docs.js").text)
    assert urljoin("/docs", url) == "/openapi.json"


def test_the_style_sheet_loads_nothing_from_elsewhere(client: InProcessClient) -> None:
    loaded = re.findall(r"url\(\s*[\"']?(\w+:|//)", client.get("/docs/swagger-ui.css").text)
    assert set(loaded) <= {"data:"}
    assert "@import" not in client.get("/docs/swagger-ui.css").text


@pytest.mark.parametrize("path", ["/docs/", "/docs/docs.html", "/docs/..%2fdescriptions.py", "/docs/x/docs.js"])
def test_no_other_file_is_served(client: InProcessClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_only_the_page_may_run_scripts_and_only_those_of_this_server(client: InProcessClient) -> None:
    page, document = client.get("/docs"), client.get("/openapi.json")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert document.headers["content-type"] == "application/json"
    assert {name: page.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS
    assert {name: document.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    closed = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert directives(document.headers["content-security-policy"]) == closed
    assert directives(page.headers["content-security-policy"]) == closed | {
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
    }


def test_a_browser_keeps_no_page_frames_none_and_guesses_no_media_type() -> None:
    assert {name: value for name, value in SECURITY_HEADERS.items() if name != "Content-Security-Policy"} == {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
