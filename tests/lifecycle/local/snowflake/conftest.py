"""A local endpoint for the tests of this folder, and connections to it through the real connector."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat

from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.local.snowflake.options import SETUP

Rows = list[tuple[Any, ...]]
Connect = Callable[..., Any]


@pytest.fixture
def connect_to() -> Iterator[Connect]:
    """Opens cursors, see `connecting`; closed after the test."""
    with connecting() as connect:
        yield connect


@pytest.fixture(scope="module")
def connect_once() -> Iterator[Connect]:
    """Opens cursors, see `connecting`; closed after the file's tests."""
    with connecting() as connect:
        yield connect


@contextmanager
def connecting() -> Iterator[Connect]:
    """Opens cursors at an endpoint: ``connect_to(endpoint, LOCK_TIMEOUT=1, role="LIFECYCLE_LOAD")``."""
    import snowflake.connector

    with ExitStack() as opened:

        def connect(local: LocalSnowflake, **named: Any) -> Any:
            parameters = {name: named.pop(name) for name in list(named) if name.isupper()}
            arguments = {
                "account": "local",
                "user": "local",
                "password": "local",
                "host": "127.0.0.1",
                "port": local.port,
                "protocol": "http",
                "warehouse": "LIFECYCLE_LOAD_WH",
                "role": "LIFECYCLE_LOAD",
                "database": "LIFECYCLE",
                "schema": "RAW",
                "login_timeout": 5,
                "network_timeout": 10,
                "paramstyle": "qmark",
                "session_parameters": parameters,
            }
            connection = snowflake.connector.connect(**(arguments | named))
            opened.callback(connection.close, retry=False)
            return opened.enter_context(connection.cursor())

        yield connect


@pytest.fixture
def cursor(endpoint: LocalSnowflake, connect_to: Connect) -> Any:
    """A cursor at the shared endpoint."""
    return connect_to(endpoint)


@pytest.fixture(autouse=True)
def _no_fault_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "endpoint" in request.fixturenames:
        request.getfixturevalue("endpoint").clear_faults()


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("setup") / "setup.sql"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """PEM files: the registered key with a passphrase, another key, and the public half of the first."""
    folder = tmp_path_factory.mktemp("keys")
    made = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("own", "other")}
    for name, key in made.items():
        encryption = BestAvailableEncryption(b"planted-passphrase")
        (folder / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public = made["own"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    return {name: folder / f"{name}.pem" for name in ("own", "other", "public")}


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory, script: Path, keys: dict[str, Path]) -> Iterator[LocalSnowflake]:
    """An endpoint whose script each test writes, where a key logs in, and which keeps idle transactions open."""
    script.write_text(SETUP.read_text())
    home = tmp_path_factory.mktemp("account")
    with running(home, setup=script, arguments=("--public-key", str(keys["public"]))) as local:
        yield local


@pytest.fixture
def use_script(script: Path, account: LocalSnowflake) -> Iterator[Callable[[list[str]], None]]:
    yield lambda lines: _write(script, ";\n".join(lines))
    _write(script, SETUP.read_text())


def _write(path: Path, text: str) -> None:
    path.write_text(text)
