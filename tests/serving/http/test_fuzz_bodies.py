"""Bodies that are no request, through a socket, to each route that decides: refused with a 4xx that repeats nothing.

``FUZZ_EXAMPLES=100000 pytest tests/serving/http/test_fuzz_bodies.py`` looks longer, with another seed each time.
"""

import contextlib
import json
import os
import random
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.fuzzed_server import BATCH, INFER, INVOCATIONS, Fuzzed, fuzzed
from tests.harness.protocol_steps import record, tensors
from tests.harness.raw_http import PLANTED, chunked, request
from tests.harness.server_process import URL
from tests.harness.small_models import SmallStore, score_request

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1000"))
SEED = os.environ.get("FUZZ_SEED", "4711" if EXAMPLES == 1000 else str(random.SystemRandom().random()))
ODD = (
    b"1e999", b"-1e999", b"1e-999", b"9" * 400, b"-" + b"9" * 4400, b"0." + b"1" * 5000, b"1e" + b"9" * 30, b"-0",
    b"NaN", b"Infinity", b"0x1f", b"01", b"1.", b"+1", b"true", b"null", b"{}", b"[]", b"[" * 200_000,
    b'{"a":' * 50_000,
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b'"%s' % PLANTED.encode(),
    b'"%s"' % PLANTED.encode(), b'"' + b"a" * 60_000 + b'"', b"9223372036854775808", b"18446744073709551616",
    b'"0000-01-01T00:00:00Z"', b'"9999-12-31T23:59:60-23:59"', b'"2026-01-31T12:00:00+99:99"', b"\x00", b"",
)  # fmt: skip


def binary_tensors() -> tuple[bytes, str]:
    """An inference request whose features come as binary data, and the length of its JSON."""
    document = tensors(score_request())
    chunks = []
    for tensor in document["inputs"]:
        [value] = tensor.pop("data")
        if tensor["datatype"] == "BYTES":
            content = struct.pack("<I", len(value)) + value.encode()
        elif tensor["datatype"] == "INT64":
            content = struct.pack("<q", value)
        else:
            content = struct.pack("<d", float("nan") if value is None else value)
        tensor["parameters"] = {"binary_data_size": len(content)}
        chunks.append(content)
    head = json.dumps(document).encode()
    return head + b"".join(chunks), str(len(head))


def targets() -> dict[str, tuple[str, bytes, dict[str, Any]]]:
    """Path, a valid body and its headers, by the kind of body."""
    row = record()
    columns = ",".join(row)
    line = ",".join("" if value is None else str(value) for value in row.values())
    binary, length = binary_tensors()
    kind = {"content_type": "application/json"}
    split = {"columns": list(row), "data": [list(row.values())]}
    return {
        "one": (URL, json.dumps(score_request()).encode(), kind),
        "batch": (BATCH, json.dumps({"requests": [score_request("a"), score_request("b")]}).encode(), kind),
        "tensors": (INFER, json.dumps(tensors(score_request("a"), score_request("b"))).encode(), kind),
        "binary tensors": (INFER, binary, {"inference_header_content_length": length}),
        "records": (INVOCATIONS, json.dumps({"dataframe_records": [row]}).encode(), kind),
        "split": (INVOCATIONS, json.dumps({"dataframe_split": split}).encode(), kind),
        "columns": (INVOCATIONS, json.dumps({"inputs": {key: [value] for key, value in row.items()}}).encode(), kind),
        "csv": (INVOCATIONS, f"{columns}\n{line}\n".encode(), {"content_type": "text/csv"}),
    }


def mutants(valid: bytes, count: int, chance: random.Random) -> Iterator[bytes]:
    """Bodies that were valid before something happened to them."""
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        yield valid.decode("latin-1").encode(encoding)
    yield from (b"", b"\x00" * 100, b"\xff\xfe", b"\x1f\x8b" + valid, valid + valid, valid + b"\x00", b"[" * 60_000)
    yield from (valid[:end] for end in range(0, len(valid), max(len(valid) // 60, 1)))
    yield from ODD
    places = tokens(valid)
    for _ in range(count):
        begin, end = chance.choice(places)
        change = chance.randrange(6)
        if change == 0:
            yield valid[:begin] + chance.choice(ODD) + valid[end:]
        elif change == 1:
            yield valid[:begin] + bytes([chance.randrange(256)]) + valid[begin + 1 :]
        elif change == 2:
            yield valid[:begin] + chance.choice(ODD)
        elif change == 3:
            other_begin, other_end = chance.choice(places)
            yield valid[:begin] + valid[other_begin:other_end] + valid[end:]
        elif change == 4:
            yield valid.replace(b"}", b"," + valid[begin:end] + b":" + chance.choice(ODD) + b"}", 1)
        else:
            yield valid[:begin] + valid[chance.choice(places)[0] :]


def tokens(valid: bytes) -> list[tuple[int, int]]:
    """Where words, numbers and quoted texts stand."""
    found, begin = [], None
    for at, byte in enumerate(valid + b" "):
        if bytes([byte]) in b"{}[]:, \n":
            if begin is not None:
                found.append((begin, at))
            begin = None
        elif begin is None:
            begin = at
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    store = SmallStore.under(tmp_path_factory.mktemp("bodies") / "home")
    store.publish(1)
    with fuzzed(store, SERVING_MLFLOW_MODEL="card_fraud") as server:
        yield server


@pytest.mark.long
@pytest.mark.parametrize("kind", targets())
def test_a_body_that_is_no_request_gets_an_error_of_its_route(running: Fuzzed, kind: str) -> None:
    path, valid, headers = targets()[kind]
    chance = random.Random(f"{SEED} {kind}")
    first = running.say(request(path, valid, **headers))
    assert first is not None
    assert first.status == 200, first.body
    statuses: Counter[int] = Counter()
    connections = contextlib.ExitStack()
    with connections:
        connection = connections.enter_context(running.connect())
        for body in mutants(valid, EXAMPLES, chance):
            halves = (body[: len(body) // 2], body[len(body) // 2 :])
            is_chunked = chance.random() < 0.2 and all(halves)
            sent = chunked(path, *halves, **headers) if is_chunked else request(path, body, **headers)
            connection.send(sent)
            answer = connection.answer()
            try:
                running.check_answer(answer)
            except AssertionError as error:
                raise AssertionError(f"{error} - seed {SEED}, sent {sent[:3000]!r}") from None
            assert answer is not None
            statuses[answer.status] += 1
            if answer.headers.get("connection") == "close":
                connections.close()
                connection = connections.enter_context(running.connect())
    assert statuses.total() > EXAMPLES
    assert statuses[422] > EXAMPLES / 2
    running.check_alive()


def test_the_same_key_twice_is_no_way_around_a_check(running: Fuzzed) -> None:
    request_: dict[str, Any] = score_request("twice")
    text = json.dumps(request_)
    for name, value in request_.items():
        doubled = text[:-1] + f", {json.dumps(name)}: {json.dumps(value)}, {json.dumps(name)}: 5}}"
        answer = running.say(request(URL, doubled.encode()))
        assert answer is not None
        assert answer.status == 422, name
    for body in (b'{"features": {}, "features": 5}', b'{"features": {}', b'{"features": {}, "x": ' + b"[" * 10_000):
        answer = running.say(request(URL, body))
        assert answer is not None
        assert (answer.status, answer.json()["error"]["path"]) == (422, "$.features")
