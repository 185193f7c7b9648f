import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import Keys, ensure_keys
from serving.contract.documents import ContractError, Signed


def keys_of(home: Path) -> Keys:
    return ensure_keys(Settings(home=home))


def test_keys_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    first = keys_of(tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert {path.name for path in files} == {"signing_key.pem", "public_key.pem", "pseudonym.key"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert keys_of(tmp_path).key_id == first.key_id
    assert {path: path.read_bytes() for path in files} == files


def test_the_id_names_the_public_key(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    assert keys.public_keys.ids == [keys.key_id]
    assert len(keys.key_id) == 16
    int(keys.key_id, 16)


def test_a_signature_is_over_exactly_these_bytes(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    signed = keys.signing_key.sign(b"manifest")
    keys.public_keys.verify(b"manifest", signed, "here")
    assert keys.signing_key.sign(b"manifest") == signed
    for content, signature in ((b"manifesto", signed.signature), (b"manifest", "AAAA"), (b"manifest", "not base64!")):
        with pytest.raises(ContractError, match="Expected a signature by key"):
            keys.public_keys.verify(content, Signed(key_id=keys.key_id, signature=signature), "here")


def test_the_secret_is_in_no_representation(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    assert repr(keys.signing_key) == f"SigningKey({keys.key_id})"
    assert "PRIVATE" not in repr(keys)


def test_a_lost_signing_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    keys_of(tmp_path)
    (tmp_path / "keys" / "signing_key.pem").unlink()
    with pytest.raises(LifecycleError, match="restore it from the backup"):
        keys_of(tmp_path)


def test_a_lost_public_key_is_written_again(tmp_path: Path) -> None:
    first = keys_of(tmp_path)
    first.public_key_path.unlink()
    assert keys_of(tmp_path).public_keys.ids == [first.key_id]


def test_a_public_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    other = keys_of(tmp_path / "other")
    first = keys_of(tmp_path / "mine")
    first.public_key_path.write_bytes(other.public_key_path.read_bytes())
    with pytest.raises(LifecycleError, match=f"Expected the public key {first.key_id}"):
        keys_of(tmp_path / "mine")


@pytest.mark.parametrize("name", ["signing_key.pem", "pseudonym.key"])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    keys_of(tmp_path)
    (tmp_path / "keys" / name).chmod(0o640)
    with pytest.raises(LifecycleError, match="Expected mode 0600, got 0640"):
        keys_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "violation"),
    [
        ("signing_key.pem", b"-----BEGIN secret", "got another content"),
        ("pseudonym.key", b"short", "Expected a pseudonym key of 32 bytes, got 5"),
        ("public_key.pem", b"nope", "Expected at least one PEM public key"),
    ],
)
def test_a_damaged_key_is_refused_without_its_content(
    tmp_path: Path, name: str, content: bytes, violation: str
) -> None:
    keys_of(tmp_path)
    (tmp_path / "keys" / name).write_bytes(content)
    with pytest.raises(LifecycleError, match=violation) as refused:
        keys_of(tmp_path)
    assert content.decode() not in str(refused.value)


def test_processes_that_start_together_end_with_one_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lifecycle.signing.keys import ensure_keys; "
        "from lifecycle.settings.platform import Settings; print(ensure_keys(Settings(home=Path(sys.argv[1]))).key_id)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [child.communicate(timeout=60)[0].strip() for child in children]
    assert said == [keys_of(tmp_path).key_id] * 3
