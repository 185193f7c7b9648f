"""``/docs`` and ``/openapi.json``: how to call this server, on a page that needs nothing but itself.

The page is made here from the OpenAPI document, without a script, a font or a style sheet from elsewhere: it opens in
a network that reaches nothing, and under a policy that allows nothing.
"""

import functools
import html
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from serving.http.errors import JsonResponse
from serving.http.openapi.page_headers import security_headers
from serving.http.openapi.schema_in_words import (
    Document,
    Field,
    example,
    fields,
    mapping,
    resolved,
    sequence,
    text,
    type_in_words,
)

_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
_LINE_LENGTH: Final = 96
_DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
_CODE: Final = re.compile(r"`{1,2}([^`]+)`{1,2}")
_JSON: Final = "application/json"


class Operation(NamedTuple):
    """One method of one path; `anchor` is its id within the page."""

    method: str
    path: str
    anchor: str
    tag: str
    content: Document


def docs_routes(get_openapi: Callable[[], dict[str, Any]]) -> list[Route]:
    """The routes of the documentation; `get_openapi` is the application's ``openapi``.

    A page is kept as long as `get_openapi` answers with the same object. The handlers are plain functions: they run
    beside the event loop, which making a page would hold up.
    """
    made: list[tuple[dict[str, Any], str]] = []

    def page(_request: Request) -> Response:
        document = get_openapi()
        if not made or made[0][0] is not document:
            made[:] = [(document, docs_page(document))]
        return HTMLResponse(made[0][1], headers=security_headers(style_sheet()))

    def openapi(_request: Request) -> Response:
        return JsonResponse(msgspec.json.encode(get_openapi()), headers=security_headers())

    return [
        Route("/docs", page, methods=["GET"], include_in_schema=False),
        Route("/openapi.json", openapi, methods=["GET"], include_in_schema=False),
    ]


@functools.cache
def style_sheet() -> str:
    """The page's style sheet, which stands in the page and is named by its hash in the policy."""
    return Path(__file__).with_name("docs.css").read_text(encoding="utf-8")


def docs_page(openapi: Mapping[str, Any]) -> str:
    """The whole page, made from an OpenAPI document; everything that the document says is escaped."""
    document = dict(openapi)
    info = mapping(document.get("info"))
    title = text(info.get("title")) or "API"
    groups: dict[str, list[Operation]] = {}
    for operation in operations(document):
        groups.setdefault(operation.tag, []).append(operation)
    version = f'<span class="version">{_escaped(info.get("version"))}</span>' if info.get("version") else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_escaped(title)}</title><link rel="icon" href="data:,"><style>{style_sheet()}</style></head>\n<body>'
        f'<nav aria-label="Routes"><p class="home"><a href="#top">{_escaped(title)}</a></p>{_contents(groups)}'
        '<p class="raw"><a href="/openapi.json">openapi.json</a></p></nav>\n'
        f'<main id="top"><header><h1>{_escaped(title)} {version}</h1>{_prose(info.get("description"))}'
        f"{_calling(document)}</header>\n"
        f"{''.join(_group(tag, found, document) for tag, found in groups.items())}</main></body></html>\n"
    )


def operations(document: Document) -> Iterator[Operation]:
    """Every operation of the document, by the order of its tags."""
    declared = [text(mapping(tag).get("name")) for tag in sequence(document.get("tags"))]
    found = []
    for path, item in mapping(document.get("paths")).items():
        for method in _METHODS:
            content = mapping(item).get(method)
            if isinstance(content, dict):
                tag = next((each for each in sequence(content.get("tags")) if isinstance(each, str)), "")
                found.append(Operation(method, str(path), "", tag or "Routes", content))
    order = {tag: index for index, tag in enumerate(declared)}
    found.sort(key=lambda each: order.get(each.tag, len(order)))  # stable: within a tag as the document has it
    for index, operation in enumerate(found):
        yield operation._replace(anchor=f"route-{index + 1}")


def _contents(groups: Mapping[str, list[Operation]]) -> str:
    parts = []
    for tag, found in groups.items():
        items = "".join(
            f'<li><a href="#{each.anchor}">{_badge(each.method)} <span>{_path(each.path)}</span></a></li>'
            for each in found
        )
        parts.append(f"<h2>{_escaped(tag)}</h2><ul>{items}</ul>")
    return "".join(parts)


def _calling(document: Document) -> str:
    """Where the server is and how a caller says who it is."""
    rows = [f"<dt>Address</dt><dd><code>{_escaped(_server(document))}</code></dd>"]
    schemes = mapping(mapping(document.get("components")).get("securitySchemes"))
    for scheme in map(mapping, schemes.values()):
        where = "Authorization: Bearer …" if text(scheme.get("type")) == "http" else f"{text(scheme.get('name'))}: …"
        rows.append(f"<dt>Key</dt><dd><code>{_escaped(where)}</code> {_inline(scheme.get('description'))}</dd>")
    return f'<dl class="calling">{"".join(rows)}</dl>'


def _group(tag: str, found: list[Operation], document: Document) -> str:
    described = next(
        (each.get("description") for each in map(mapping, sequence(document.get("tags"))) if each.get("name") == tag),
        None,
    )
    articles = "".join(_article(operation, document) for operation in found)
    return f"<section><h2>{_escaped(tag)}</h2>{_prose(described)}{articles}</section>\n"


def _article(operation: Operation, document: Document) -> str:
    content = operation.content
    body = resolved(content.get("requestBody"), document)
    deprecated = ' <span class="flag">deprecated</span>' if content.get("deprecated") is True else ""
    heading = f"{_badge(operation.method)} <code>{_path(operation.path)}</code>{deprecated}"
    parts = [
        f'<article id="{operation.anchor}"><h3>{heading}</h3>',
        f'<p class="summary">{_inline(content.get("summary"))}</p>{_prose(content.get("description"))}',
        _parameter_table(operation, document),
        "".join(_media(kind, each, document) for kind, each in mapping(body.get("content")).items()),
        f"<h4>Example</h4><pre><code>{_escaped(curl(operation, document))}</code></pre>",
        _responses(content, document),
        "</article>\n",
    ]
    return "".join(parts)


def _parameters(operation: Operation, document: Document) -> list[Document]:
    shared = sequence(mapping(mapping(document.get("paths")).get(operation.path)).get("parameters"))
    return [resolved(each, document) for each in shared + sequence(operation.content.get("parameters"))]


def _parameter_table(operation: Operation, document: Document) -> str:
    rows = [
        Field(
            text(each.get("name")),
            f"{type_in_words(each.get('schema'), document)}, in {text(each.get('in'))}",
            each.get("required") is True,
            "",
            text(each.get("description")),
        )
        for each in _parameters(operation, document)
    ]
    return f"<h4>Parameters</h4>{_field_table(rows)}" if rows else ""


def _media(kind: str, media: object, document: Document) -> str:
    schema = mapping(media).get("schema")
    rows = list(fields(schema, document))
    listed = _field_table(rows) if rows else f"<p>{_escaped(type_in_words(schema, document))}</p>"
    return f'<h4>Body <span class="media">{_escaped(kind)}</span></h4>{listed}'


def _field_table(rows: list[Field]) -> str:
    lines = []
    for row in rows:
        optional = "" if row.is_required else ' <span class="flag">optional</span>'
        bounds = f' <span class="bounds">{_escaped(row.bounds)}</span>' if row.bounds else ""
        lines.append(
            f"<tr><td><code>{_path(row.path)}</code>{optional}</td>"
            f"<td>{_escaped(row.type)}{bounds}</td><td>{_inline(row.description)}</td></tr>"
        )
    head = "<thead><tr><th>Name</th><th>Type</th><th>Meaning</th></tr></thead>"
    return f'<div class="wide"><table class="fields">{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _responses(content: Document, document: Document) -> str:
    """A row for each status; the body that several of them share stands once, below them."""
    answers = {status: resolved(raw, document) for status, raw in mapping(content.get("responses")).items()}
    bodies = {status: _response_bodies(answer, document) for status, answer in answers.items()}
    shared = {body for body, count in Counter(bodies.values()).items() if body and count > 1}
    lines = []
    for status, answer in answers.items():
        kind = "ok" if str(status).startswith(("2", "3")) else "fault"
        names = ", ".join(f"<code>{_escaped(name)}</code>" for name in mapping(answer.get("headers")))
        headers = f'<p class="headers">with {names}</p>' if names else ""
        body = "" if bodies[status] in shared else bodies[status]
        lines.append(
            f'<tr><td class="status {kind}">{_escaped(status)}</td>'
            f"<td>{_prose(answer.get('description'))}{headers}{body}</td></tr>"
        )
    for body in dict.fromkeys(each for each in bodies.values() if each in shared):
        statuses = ", ".join(_escaped(status) for status, each in bodies.items() if each == body)
        lines.append(f'<tr><td></td><td><p class="headers">The body of {statuses}:</p>{body}</td></tr>')
    if not lines:
        return ""
    return f'<h4>Answers</h4><div class="wide"><table class="answers"><tbody>{"".join(lines)}</tbody></table></div>'


def _response_bodies(answer: Document, document: Document) -> str:
    content = mapping(answer.get("content"))
    return "".join(_response_body(kind, media, document) for kind, media in content.items())


def _response_body(kind: str, media: object, document: Document) -> str:
    schema = mapping(media).get("schema")
    rows = list(fields(schema, document))
    if not rows:
        return f'<p class="media">{_escaped(kind)}</p>'
    return (
        f'<details><summary>Body <span class="media">{_escaped(kind)}</span></summary>{_field_table(rows)}'
        f"<pre><code>{_escaped(indented(_media_example(mapping(media), document)))}</code></pre></details>"
    )


def curl(operation: Operation, document: Document) -> str:
    """A command that makes the call, ready for a shell."""
    url = _server(document).rstrip("/") + _filled(operation, document)
    lines = [f"curl -sS {shlex.quote(url)}"]
    if operation.method != "get":
        lines[0] += f" -X {operation.method.upper()}"
    if operation.content.get("security", document.get("security")):
        lines.append('-H "Authorization: Bearer $API_KEY"')
    body = mapping(resolved(operation.content.get("requestBody"), document).get("content"))
    kind = _JSON if _JSON in body else next(iter(body), None)
    if kind is not None:
        lines.append(f"-H {shlex.quote(f'Content-Type: {kind}')}")
        if kind == _JSON:
            lines.append(f"-d {shlex.quote(indented(_media_example(mapping(body[kind]), document)))}")
        else:
            lines.append("--data-binary @body")
    return " \\\n  ".join(lines)


def _filled(operation: Operation, document: Document) -> str:
    """The path with an example in place of each parameter, or its name in capitals: curl reads braces itself."""
    given = {
        text(each.get("name")): each.get("example", mapping(each.get("schema")).get("example"))
        for each in _parameters(operation, document)
    }

    def value(match: re.Match[str]) -> str:
        found = given.get(match[1])
        return match[1].upper() if found is None else quote(str(found), safe="")

    return re.sub(r"\{([^{}]*)\}", value, operation.path)


def _media_example(media: Document, document: Document) -> Any:
    if "example" in media:
        return media["example"]
    named = resolved(next(iter(mapping(media.get("examples")).values()), None), document)
    return named["value"] if "value" in named else example(media.get("schema"), document)


def _server(document: Document) -> str:
    url = text(mapping(next(iter(sequence(document.get("servers"))), None)).get("url"))
    return url if "://" in url else _DEFAULT_SERVER + url.rstrip("/")


def indented(value: object, depth: int = 0) -> str:
    """JSON for people: what fits into a line stands in one.

    Examples
    --------
    >>> print(indented({"shape": [1], "data": ["a" * 50, "b" * 50]}))
    {
      "shape": [1],
      "data": [
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
      ]
    }
    """
    line = json.dumps(value, ensure_ascii=False, default=str)
    if not isinstance(value, dict | list) or len(line) + 2 * depth <= _LINE_LENGTH:
        return line
    if isinstance(value, dict):
        ends = "{}"
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {indented(each, depth + 1)}" for key, each in value.items()]
    else:
        ends = "[]"
        parts = [indented(each, depth + 1) for each in value]
    inner = "\n" + "  " * (depth + 1)
    return ends[0] + inner + f",{inner}".join(parts) + "\n" + "  " * depth + ends[1]


def _escaped(value: object) -> str:
    return html.escape(str(value))


def _path(path: str) -> str:
    """A path whose parts may be broken over lines."""
    return re.sub(r"(?<=.)([/.])", r"<wbr>\1", _escaped(path))


def _badge(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _inline(value: object) -> str:
    return _CODE.sub(r"<code>\1</code>", _escaped(text(value)))


def _prose(value: object) -> str:
    """Paragraphs, with what stands in backticks as code."""
    paragraphs = re.split(r"\n\s*\n", text(value).strip())
    return "".join(f"<p>{_inline(each)}</p>" for each in paragraphs if each)
