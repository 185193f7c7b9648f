"""The P-256 key of the OpenSSF signatures is kept as the other keys are."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lifecycle.errors import LifecycleError
from lifecycle.signing.model_key import ModelKey, ensure_model_key, read_model_public_keys

PRIVATE, PUBLIC = "model_signing_key.pem", "model_public_key.pem"


def rotated(folder: Path) -> tuple[ModelKey, ModelKey]:
    """The key before and after a rotation as the manual describes it."""
    old = ensure_model_key(folder)
    (folder / PRIVATE).unlink()
    (folder / PUBLIC).unlink()
    new = ensure_model_key(folder)
    with (folder / PUBLIC).open("ab") as file:
        file.write(old.public_pem)
    return old, new


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = ensure_model_key(tmp_path / "keys")
    files = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert set(files) == {PRIVATE, PUBLIC}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert ensure_model_key(tmp_path / "keys").hint == first.hint
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == files
    assert files[PUBLIC] == first.public_pem
    assert repr(first) == f"ModelKey({first.hint})"


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ensure_model_key(tmp_path)
    (tmp_path / PRIVATE).chmod(0o640)
    with pytest.raises(LifecycleError, match="Expected mode 0600, got 0640"):
        ensure_model_key(tmp_path)


def test_a_lost_private_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    ensure_model_key(tmp_path)
    (tmp_path / PRIVATE).unlink()
    with pytest.raises(LifecycleError, match="restore it from the backup"):
        ensure_model_key(tmp_path)


def test_a_lost_public_key_is_written_again(tmp_path: Path) -> None:
    first = ensure_model_key(tmp_path)
    (tmp_path / PUBLIC).unlink()
    assert ensure_model_key(tmp_path).hint == first.hint
    assert set(read_model_public_keys(tmp_path / PUBLIC)) == {first.hint}


def test_a_public_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    mine = ensure_model_key(tmp_path / "mine")
    (tmp_path / "mine" / PUBLIC).write_bytes(ensure_model_key(tmp_path / "other").public_pem)
    with pytest.raises(LifecycleError, match=f"Expected the public key {mine.hint[:16]}"):
        ensure_model_key(tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "content", "violation"),
    [
        (PRIVATE, b"-----BEGIN secret", "got another content"),
        (PUBLIC, b"nope", "got 0 of 0"),
        (PUBLIC, b"\xff\xfe", "got UnicodeDecodeError"),
        (PUBLIC, b"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----", "Expected a readable PEM file"),
    ],
)
def test_a_damaged_key_is_refused_without_its_content(
    tmp_path: Path, name: str, content: bytes, violation: str
) -> None:
    ensure_model_key(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LifecycleError, match=violation) as refused:
        ensure_model_key(tmp_path)
    assert "secret" not in str(refused.value)


def test_a_key_on_another_curve_is_refused(tmp_path: Path) -> None:
    other = generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / PRIVATE).touch(mode=0o600)
    (tmp_path / PRIVATE).write_bytes(other)
    with pytest.raises(LifecycleError, match="Expected a P-256 private key, got one on secp384r1"):
        ensure_model_key(tmp_path)


def test_a_rotated_public_key_stays_known(tmp_path: Path) -> None:
    old, new = rotated(tmp_path)
    assert ensure_model_key(tmp_path).hint == new.hint
    assert read_model_public_keys(tmp_path / PUBLIC) == {key.hint: key.public_pem for key in (new, old)}
