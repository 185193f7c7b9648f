import datetime as dt
import json
import re
import shlex
import subprocess
from html.parser import HTMLParser
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, Header, Path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.applications import Starlette

from serving.http.openapi.page import Operation, curl, docs_page, docs_routes, operations, style_sheet
from serving.http.openapi.page_headers import content_security_policy
from serving.http.openapi.schema_in_words import example, fields, resolved, type_in_words
from tests.harness.in_process_client import InProcessClient

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&`</code></style>"
TAGS = {
    "html", "head", "meta", "title", "link", "style", "body", "nav", "main", "header", "section", "article", "details",
    "summary", "h1", "h2", "h3", "h4", "p", "a", "ul", "li", "span", "code", "pre", "wbr", "dl", "dt", "dd", "div",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
VOID = {"meta", "link", "wbr"}


class Features(BaseModel):
    amount: Annotated[float, Field(ge=0, le=50_000, description="In the card's currency.")]
    kind: Literal["shop", "online"]
    mean_amount_7d: float | None = None


class ScoreRequest(BaseModel):
    decision_id: Annotated[str, Field(max_length=128)]
    occurred_at: dt.datetime
    features: Features


class Reason(BaseModel):
    code: str


class Answer(BaseModel):
    decision: Literal["approve", "review"]
    reasons: list[Reason] | None


class ErrorBody(BaseModel):
    kind: str


def application() -> FastAPI:
    app = FastAPI(
        title="Risk model server",
        version="3.1",
        description="Scores `transactions`.\n\nAt once.",
        openapi_tags=[{"name": "Decisions", "description": "What an engine calls."}, {"name": "Operations"}],
        docs_url=None,
        openapi_url=None,
    )

    @app.get("/healthz", tags=["Operations"], summary="Whether the process lives")
    def healthz() -> dict[str, str]:
        return {}

    @app.post(
        "/v1/models/{model}/score",
        tags=["Decisions"],
        summary="Decide one transaction",
        responses={
            401: {"model": ErrorBody, "description": "No valid key"},
            429: {"model": ErrorBody, "description": "Too many", "headers": {"Retry-After": {}}},
        },
        openapi_extra={"security": [{"key": []}]},
    )
    def score(
        model: Annotated[str, Path(json_schema_extra={"example": "card fraud"})],
        body: ScoreRequest,
        x_deadline_ms: Annotated[int | None, Header(description="Give up after it.")] = None,
    ) -> Answer:
        raise NotImplementedError

    return app


@pytest.fixture
def document() -> dict[str, Any]:
    return application().openapi()


class Page(HTMLParser):
    """A page as a browser reads it: refuses what is not closed, and whatever could run or load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, value in attrs:
            assert name in {"lang", "charset", "name", "content", "rel", "href", "id", "class", "aria-label"}
            assert name != "href" or value in {"data:,", "/openapi.json"} or (value or "").startswith("#")
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def operation(document: dict[str, Any], method: str) -> Operation:
    return next(each for each in operations(document) if each.method == method)


def test_the_page_says_how_to_call_every_route(document: dict[str, Any]) -> None:
    text = Page(docs_page(document)).text
    for expected in (
        "Risk model server", "3.1", "Decide one transaction", "/v1/models/{model}/score", "decision_id",
        "features.amount", "In the card's currency.", "≥ 0, ≤ 50000", '"shop" or "online"', "x-deadline-ms",
        "No valid key", "Retry-After", "reasons[].code", "Whether the process lives", "curl -sS",
    ):  # fmt: skip
        assert expected in text


def test_routes_stand_by_their_tags_in_the_documents_order(document: dict[str, Any]) -> None:
    assert [(each.tag, each.method) for each in operations(document)] == [("Decisions", "post"), ("Operations", "get")]


def test_every_link_within_the_page_leads_somewhere(document: dict[str, Any]) -> None:
    page = Page(docs_page(document))
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    links = [href.removeprefix("#") for each in page.of("a") if (href := each["href"] or "").startswith("#")]
    assert len(set(ids)) == len(ids)
    assert set(links) == set(ids)


def test_a_body_that_answers_share_stands_once(document: dict[str, Any]) -> None:
    text = Page(docs_page(document)).text
    assert text.count("The body of 401, 429:") == 1


def test_the_example_is_a_command_for_a_shell_with_a_body_that_validates(document: dict[str, Any]) -> None:
    words = shlex.split(curl(operation(document, "post"), document).replace("\\\n", " "))
    assert words[:5] == ["curl", "-sS", "http://127.0.0.1:8080/v1/models/card%20fraud/score", "-X", "POST"]
    assert "Authorization: Bearer $API_KEY" in words
    ScoreRequest.model_validate_json(words[words.index("-d") + 1])


def test_a_route_that_needs_no_key_shows_none(document: dict[str, Any]) -> None:
    assert curl(operation(document, "get"), document) == "curl -sS http://127.0.0.1:8080/healthz"


def test_quotes_in_an_example_stay_within_their_argument() -> None:
    body = {"it's": "$(touch /tmp/x) `id` 'a'"}
    document = {
        "paths": {"/a'b;{c}": {"post": {"requestBody": {"content": {"application/json": {"example": body}}}}}},
        "servers": [{"url": "https://risk.test/'x"}],
    }
    command = curl(operation(document, "post"), document).replace("curl", "printf '%s\\0'", 1)
    printed = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout.decode().split("\0")
    assert printed[1] == "https://risk.test/'x/a'b;C"
    assert json.loads(printed[-2]) == body


def hostile(value: Any) -> Any:
    """The document with something that tries to break out in every text that a person wrote."""
    if isinstance(value, dict):
        return {
            key: HOSTILE
            if key in {"title", "description", "summary", "version", "name", "const", "pattern", "format"}
            else hostile(each)
            for key, each in value.items()
        }
    return [hostile(each) for each in value] if isinstance(value, list) else value


def test_everything_is_escaped(document: dict[str, Any]) -> None:
    changed = hostile(document)
    changed["paths"][f"/{HOSTILE}"] = {"get": {"tags": [HOSTILE], "responses": {HOSTILE: {"content": {HOSTILE: {}}}}}}
    changed["components"]["schemas"]["Features"]["properties"][HOSTILE] = {"type": HOSTILE, "enum": [HOSTILE]}
    changed["components"]["securitySchemes"] = {HOSTILE: {"type": "apiKey", "name": HOSTILE, "description": HOSTILE}}
    page = docs_page(changed)
    assert "<script" not in page
    assert "<img" not in page
    assert "alert(1)" in Page(page).text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(HOSTILE),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.text(max_size=4) | st.sampled_from([
            "$ref", "type", "properties", "items", "anyOf", "allOf", "oneOf", "required", "enum", "const", "default",
            "examples", "minimum", "content", "schema", "example", "description", "parameters", "responses", "headers",
            "requestBody", "get", "post", "tags", "name", "in", "application/json", "security", "deprecated",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {"paths": st.dictionaries(st.text(max_size=5), st.dictionaries(st.sampled_from(["get", "post"]), json_values))},
        optional=dict.fromkeys(("info", "tags", "servers", "components", "security"), json_values),
    )
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_the_document_lacks_the_page_is_whole(document: dict[str, Any]) -> None:
    Page(docs_page(document))


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/n"}, "all": {"type": "array", "items": {"$ref": "#/n"}}},
    }
    document = {"n": node, "loop": {"$ref": "#/loop"}, "all": {"allOf": [{"$ref": "#/all"}]}}
    assert 0 < len(list(fields(document["n"], document))) < 500
    assert example({"$ref": "#/n"}, document)["next"]["next"]
    assert resolved({"$ref": "#/loop"}, document) == {}
    assert type_in_words({"$ref": "#/all"}, document) == "any"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"const": 1}, "1"),
        ({"enum": list(range(20))}, " or ".join([*map(str, range(16)), "…"])),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "string"),
        ({"type": "array", "items": {"type": "array", "items": {}}}, "list of list of any"),
        ({"allOf": [{"properties": {"a": {}}}]}, "object"),
        ({"$ref": "#/missing"}, "any"),
        ({"$ref": "https://elsewhere.test/schema"}, "any"),
        (None, "any"),
    ],
)
def test_a_type_in_words(schema: Any, words: str) -> None:
    assert type_in_words(schema, {}) == words


def served() -> FastAPI:
    app = application()
    app.router.routes.extend(docs_routes(app.openapi))
    return app


def test_the_pages_are_served_under_a_policy_that_their_style_passes() -> None:
    with InProcessClient(served()) as client:
        page, document = client.get("/docs"), client.get("/openapi.json")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == content_security_policy(style_sheet())
    assert page.headers["x-frame-options"] == "DENY"
    styles = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert styles == [style_sheet()]
    assert document.headers["content-type"] == "application/json"
    assert document.headers["cache-control"] == "no-store"
    assert document.json() == application().openapi()
    assert "/docs" not in document.json()["paths"]


def test_a_page_is_made_once_for_each_document() -> None:
    made: list[dict[str, Any]] = [{"info": {"title": "First"}}]
    app = Starlette(routes=[*docs_routes(lambda: made[-1])])
    with InProcessClient(app) as client:
        first, again = client.get("/docs").text, client.get("/docs").text
        made.append({"info": {"title": "Second"}})
        second = client.get("/docs").text
    assert first == again
    assert "First" in first
    assert "Second" in second


def test_the_style_sheet_loads_nothing() -> None:
    assert not re.search(r"url\(|@import|expression|http|</", style_sheet())
