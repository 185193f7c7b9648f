import datetime as dt
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.access.api_keys import ANONYMOUS, ApiKeys, Caller, check_binding, is_loopback
from serving.access.commands import add, revoke
from serving.access.key_file import KEY_LENGTH, KEY_PREFIX, SCOPES, key_sha256, new_key, parse_keys, read_key_file
from serving.contract.documents import ContractError
from serving.errors import ForbiddenError, RequestError, UnauthorizedError
from serving.http.errors import error_response

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


class Clock:
    """Seconds since 1970 that a test moves."""

    def __init__(self) -> None:
        self.seconds = NOW.timestamp()

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


@pytest.fixture
def key(path: Path) -> str:
    return add(path, "engine", ["score", "read"], NOW)[0]


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def line(**changes: Any) -> bytes:
    entry = {"name": "engine", "key_sha256": "a" * 64, "scopes": ["score"], "created_at": "2026-01-31T12:00:00Z"}
    return json.dumps(entry | changes).encode()


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def lets_in(keys: ApiKeys, key: str) -> bool:
    try:
        keys.authenticate(bearer(key), None)
    except UnauthorizedError:
        return False
    return True


def messages(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


# Who calls.


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_key_in_the_authorization_header_names_the_caller(path: Path, key: str, scheme: str) -> None:
    caller = ApiKeys(path).authenticate(f"{scheme}{key}".encode(), None)
    assert caller == Caller("engine", frozenset({"score", "read"}))


def test_a_key_in_a_header_of_its_own_names_the_caller(path: Path, key: str) -> None:
    assert ApiKeys(path).authenticate(None, key.encode()).name == "engine"


@pytest.mark.parametrize("authorization", [b"Basic dXNlcjpwYXNz", b"Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", b"Bearer "])
def test_a_gateways_own_authorization_is_no_key(path: Path, key: str, authorization: bytes) -> None:
    assert ApiKeys(path).authenticate(authorization, key.encode()).name == "engine"


@pytest.mark.parametrize(
    ("authorization", "x_api_key"),
    [
        (None, None),
        (b"", None),
        (b"Bearer", None),
        (b"Basic dXNlcjpwYXNz", None),
        (b"Bearer {key}", b"risk_" + b"A" * 43),
        (b"Bearer ", None),
        (b"Bearer {key} ", None),
        (b"Bearer x{key}", None),
        (b"Bearer {key}\n", None),
        (None, b""),
        (None, b"Bearer {key}"),
        (None, b"risk_" + b"A" * 43),
    ],
)
def test_anything_but_one_valid_key_is_unauthorized(
    path: Path, key: str, authorization: bytes | None, x_api_key: bytes | None
) -> None:
    headers = [each and each.replace(b"{key}", key.encode()) for each in (authorization, x_api_key)]
    with pytest.raises(UnauthorizedError) as caught:
        ApiKeys(path).authenticate(*headers)
    assert key not in caught.value.message


def test_an_unknown_a_wrong_an_expired_and_a_revoked_key_get_one_message(path: Path, key: str) -> None:
    expired, _ = add(path, "expired", ["score"], NOW - dt.timedelta(days=2), dt.timedelta(days=1))
    revoked, _ = add(path, "revoked", ["score"], NOW)
    revoke(path, "revoked", NOW)
    keys = ApiKeys(path, Clock())
    said = set()
    for wrong in (new_key(), key[:-1] + ("A" if key[-1] != "A" else "B"), "short", expired, revoked):
        with pytest.raises(UnauthorizedError) as caught:
            keys.authenticate(bearer(wrong), None)
        said.add(caught.value.message)
    assert len(said) == 1


@given(authorization=st.none() | st.binary(max_size=200), x_api_key=st.none() | st.binary(max_size=200))
@example(authorization=b"Bearer " + b"\xff" * KEY_LENGTH, x_api_key=None)
@example(authorization=None, x_api_key=b"\x00" * KEY_LENGTH)
def test_no_header_raises_anything_but_unauthorized(
    tmp_path_factory: pytest.TempPathFactory, authorization: bytes | None, x_api_key: bytes | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "property-keys.jsonl"
    if not path.exists():
        add(path, "engine", ["score"], NOW)
    with pytest.raises(UnauthorizedError):
        ApiKeys(path).authenticate(authorization, x_api_key)


def test_a_key_ends_when_it_expires(path: Path) -> None:
    key, _ = add(path, "engine", ["score"], NOW, dt.timedelta(days=1))
    clock = Clock()
    keys = ApiKeys(path, clock)
    clock.seconds += 86_399
    assert lets_in(keys, key)
    clock.seconds += 1
    assert not lets_in(keys, key)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_caller_may_do_what_the_scopes_say(path: Path, key: str, scope: Any) -> None:
    caller = ApiKeys(path).authenticate(bearer(key), None)
    if scope in ("score", "read"):
        caller.require(scope)
    else:
        with pytest.raises(ForbiddenError):
            caller.require(scope)


def test_without_a_file_every_caller_has_every_scope() -> None:
    keys = ApiKeys(None)
    assert not keys.refresh()
    caller = keys.authenticate(b"Bearer whatever", None)
    assert caller is ANONYMOUS
    for scope in SCOPES:
        caller.require(scope)


def test_a_file_of_revoked_keys_refuses_every_request(path: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    revoke(path, "engine", NOW)
    keys = ApiKeys(path)
    assert not lets_in(keys, key)
    with pytest.raises(UnauthorizedError):
        keys.authenticate(None, None)
    assert "0 valid API keys" in messages(caplog)


@pytest.mark.parametrize(("error", "status", "challenge"), [
    (UnauthorizedError("Expected"), 401, "Bearer"), (ForbiddenError("Expected"), 403, None),
])  # fmt: skip
def test_the_answer_says_how_to_say_who_calls(error: RequestError, status: int, challenge: str | None) -> None:
    response = error_response(error)
    assert response.status_code == status
    assert response.headers.get("www-authenticate") == challenge


# The file.


def test_the_file_holds_no_key(path: Path, key: str) -> None:
    content = path.read_text()
    assert key not in content
    assert key.removeprefix(KEY_PREFIX) not in content
    assert key_sha256(key) in content
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660, 0o666])
def test_a_file_that_others_reach_is_refused(path: Path, mode: int) -> None:
    written(path, line(), mode)
    with pytest.raises(ContractError, match=f"Expected mode 0600, got {mode:04o}; run chmod 600"):
        ApiKeys(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(ContractError, match="got FileNotFoundError"):
        ApiKeys(path)


@pytest.mark.parametrize(
    ("broken", "violation"),
    [
        (b"not json", "JSON is malformed"),
        (b"", "Input data was truncated"),
        (b"\xff\xfe", "."),
        (b"[]", "Expected `object`"),
        (line(name="Engine"), "Expected 1 to 64 of a-z"),
        (line(name="a\n"), "Expected 1 to 64 of a-z"),
        (line(key_sha256="risk_secret"), "Expected a SHA-256"),
        (line(key_sha256="A" * 64), "Expected a SHA-256"),
        (line(scopes=[]), "length >= 1"),
        (line(scopes=["risk_secret"]), "Expected one of the scopes"),
        (line(created_at="2026-01-31T12:00:00"), "timezone"),
        (line(key="risk_secret"), "Expected only the keys"),
        (b"{}", "missing required field `name`"),
        (line(key_sha256="b" * 64), "Expected a name that no earlier line has"),
        (line(name="other"), "Expected a key that no earlier line has"),
    ],
)
def test_a_malformed_line_is_refused_by_its_number(path: Path, broken: bytes, violation: str) -> None:
    written(path, line() + b"\n" + broken + b"\n")
    with pytest.raises(ContractError, match=violation) as caught:
        ApiKeys(path)
    assert "line 2" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file_is_refused(path: Path, content: bytes) -> None:
    with pytest.raises(ContractError, match="line 1"):
        ApiKeys(written(path, content))


def test_a_huge_file_is_refused(path: Path) -> None:
    with pytest.raises(ContractError, match="Expected at most 1048576 bytes"):
        ApiKeys(written(path, b"\n" * 1_048_577))


@given(st.binary(max_size=300))
def test_no_file_raises_anything_but_a_contract_error(content: bytes) -> None:
    with pytest.raises(ContractError):
        parse_keys(content, "keys.jsonl")


# Changes while the server runs.


def test_an_unchanged_file_is_not_read_again(path: Path, key: str) -> None:
    keys = ApiKeys(path)
    assert not keys.refresh()


def test_rotation_and_revocation_need_no_restart(path: Path, key: str) -> None:
    keys = ApiKeys(path)
    newer, _ = add(path, "engine-2", ["score"], NOW)
    assert keys.refresh()
    assert lets_in(keys, key)
    assert lets_in(keys, newer)
    revoke(path, "engine", NOW)
    assert lets_in(keys, key)
    assert keys.refresh()
    assert not lets_in(keys, key)
    assert lets_in(keys, newer)


@pytest.mark.parametrize("fault", ["malformed", "truncated", "gone", "open to others"])
def test_a_bad_change_keeps_the_keys_and_says_so_once(
    path: Path, key: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = ApiKeys(path)
    good = path.read_bytes()
    if fault == "gone":
        path.unlink()
    elif fault == "open to others":
        path.chmod(0o644)
    else:
        path.write_bytes(good + b"{" if fault == "malformed" else b"")
    for _ in range(3):
        assert not keys.refresh()
        assert keys.failure is not None
        assert lets_in(keys, key)
    assert messages(caplog).count("the previous API keys stay in force") == 1
    written(path, good)
    keys.refresh()
    assert keys.failure is None
    assert lets_in(keys, key)


def test_a_file_whose_mode_was_put_right_is_read(path: Path, key: str) -> None:
    keys = ApiKeys(path)
    newer, _ = add(path, "engine-2", ["score"], NOW)
    path.chmod(0o644)
    assert not keys.refresh()
    assert not lets_in(keys, newer)
    path.chmod(0o600)
    assert keys.refresh()
    assert lets_in(keys, newer)


def test_no_request_is_refused_while_keys_are_replaced(path: Path, key: str) -> None:
    keys = ApiKeys(path)
    stop = threading.Event()

    def refresh() -> None:
        for number in range(40):
            add(path, f"other-{number}", ["read"], NOW)
            keys.refresh()
        stop.set()

    changing = threading.Thread(target=refresh)
    changing.start()
    while not stop.is_set():
        assert keys.authenticate(bearer(key), None).name == "engine"
    changing.join()
    assert len(read_key_file(path)[0]) == 41


def test_nothing_that_is_logged_holds_a_key(path: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        keys = ApiKeys(path)
        keys.authenticate(bearer(key), None)
        path.write_bytes(path.read_bytes() + key.encode())
        keys.refresh()
    assert keys.failure is not None
    assert key not in messages(caplog) + keys.failure + repr(keys) + repr(read_error(path))
    assert key_sha256(key) not in messages(caplog)


def read_error(path: Path) -> str:
    with pytest.raises(ContractError) as caught:
        read_key_file(path)
    return str(caught.value)


# Where the server may listen.


OWN = ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1")
OTHERS = ("0.0.0.0", "::", "", "0", "127.1", "10.1.2.3", "::ffff:10.1.2.3", "fe80::1", "localhost.test", "*")  # noqa: S104


@pytest.mark.parametrize(("host", "is_own"), [(host, host in OWN) for host in OWN + OTHERS])
@pytest.mark.parametrize("has_tls", [False, True])
def test_beyond_loopback_a_server_needs_keys(host: str, is_own: bool, has_tls: bool) -> None:
    assert is_loopback(host) is is_own
    check_binding(host, keys_configured=True, has_tls=has_tls)
    if is_own:
        check_binding(host, keys_configured=False, has_tls=has_tls)
    else:
        with pytest.raises(ContractError, match=r"python -m serving\.access add .* SERVING_API_KEYS"):
            check_binding(host, keys_configured=False, has_tls=has_tls)


@pytest.mark.parametrize(
    ("host", "has_tls", "is_warned"),
    [("10.1.2.3", False, True), ("10.1.2.3", True, False), ("127.0.0.1", False, False)],
)
def test_keys_in_the_clear_are_warned_of(
    host: str, has_tls: bool, is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    check_binding(host, keys_configured=True, has_tls=has_tls)
    assert ("cross the network in the clear" in messages(caplog)) is is_warned
