"""Checkpoints as outsiders' tools read them: C2SP ``tlog-checkpoint`` in a C2SP ``signed-note``.

::

    lifecycle-ledger/5b0c8d2e9f314a67
    17
    kD1rRVYOTQ9O1ndTJ5MiqUiKYsvl9rJmCV1eTTTkHrM=

    — lifecycle-ledger/5b0c8d2e9f314a67 w3tZbAj1...

The first line is the origin, which names the ledger; then the number of records and the root of the tree over them
(RFC 6962), in base64. The signature covers these three lines.
"""

import base64
import functools
import hashlib
from dataclasses import dataclass

from lifecycle.errors import LifecycleError
from lifecycle.signing.keys import Keys
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, Signed

_ED25519 = b"\x01"
_KEY_HASH_BYTES = 4
_DASH = "\N{EM DASH} "


class NoteError(LifecycleError):
    """A note that cannot be read, or that none of the trusted keys signed."""


class ForeignKeyError(NoteError):
    """A note that another key than the trusted ones signed."""


@dataclass(frozen=True, slots=True)
class Head:
    """State of a ledger: its number of records, and the root of the tree over them.

    Examples
    --------
    >>> head = Head(17, bytes(32))
    >>> Head.parse(str(head)) == head
    True
    """

    size: int
    root: bytes

    def __str__(self) -> str:
        """As a release holds it: the number of records and the root in hex."""
        return f"{self.size} {self.root.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read the text of a head; raises `ValueError`."""
        size, root = text.split(" ")
        head = cls(int(size), bytes.fromhex(root))
        if len(head.root) != hashlib.sha256().digest_size or str(head) != text:
            raise ValueError(f"Expected the number of records and 64 hex digits, got {len(text)} characters")
        return head


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of the ledger that `origin` names."""

    origin: str
    head: Head

    def text(self) -> str:
        """The signed text."""
        return f"{self.origin}\n{self.head.size}\n{base64.b64encode(self.head.root).decode()}\n"


def sign_note(text: str, name: str, keys: Keys) -> str:
    """A text, which ends with a newline, signed by the installation's key under the name of the signer."""
    signed = keys.signing_key.sign(text.encode())
    raw_key = keys.public_keys.raw_keys[signed.key_id]
    signature = _key_hash(name, raw_key) + base64.b64decode(signed.signature)
    return f"{text}\n{_DASH}{name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, keys: PublicKeys) -> tuple[str, str]:
    """Text of a note and the name of its signer, once one of the trusted keys is found to have signed it.

    Signatures by other keys are left unread, as the format asks: a witness may have added its own.

    Raises
    ------
    NoteError
        If it is no note, or a signature by a trusted key does not match; `ForeignKeyError` without such a signature.
    """
    text, separator, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = signatures.splitlines()
    if not separator or not lines or not signatures.endswith("\n"):
        raise NoteError("Expected a text, an empty line and lines with signatures, got another form")
    for line in lines:
        name, key_hash, signature = _signature(line)
        for key_id, raw_key in keys.raw_keys.items():
            if key_hash == _key_hash(name, raw_key):
                _expect_signed(text, Signed(key_id=key_id, signature=signature), keys)
                return text, name
    found = ", ".join(sorted({_signature(line)[1].hex() for line in lines}))
    raise ForeignKeyError(f"Expected a signature by one of the keys {keys.ids}, got one by another key, hash {found}")


def open_checkpoint(note: str, keys: PublicKeys) -> Checkpoint:
    """The checkpoint of a note that a trusted key signed; raises as `open_note`, and for a text of another form."""
    text, name = open_note(note, keys)
    checkpoint = read_checkpoint(note)
    if checkpoint.text() != text or checkpoint.origin != name:
        raise NoteError("Expected a checkpoint that its own ledger signed, got another text or signer")
    return checkpoint


def read_checkpoint(note: str) -> Checkpoint:
    """The checkpoint of a note, its signature not verified; raises `NoteError`."""
    try:
        origin, size, root, *_ = note.split("\n")
        return Checkpoint(origin, Head(int(size), base64.b64decode(root, validate=True)))
    except ValueError:
        raise NoteError("Expected an origin, a number of records and a root in base64, got another form") from None


def verifier_keys(origin: str, keys: PublicKeys) -> list[str]:
    """The keys as tools for signed notes take them: ``name+hash+key``, one for each trusted key."""
    encoded = ((raw, base64.b64encode(_ED25519 + raw).decode()) for raw in keys.raw_keys.values())
    return [f"{origin}+{_key_hash(origin, raw).hex()}+{text}" for raw, text in encoded]


def _signature(line: str) -> tuple[str, bytes, str]:
    """Name, key hash and base64 signature of a line."""
    try:
        name, encoded = line.removeprefix(_DASH).split(" ")
        content = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise NoteError("Expected the line of a signature, got another form") from None
    # Base64 has spare bits at its end, which a decoder ignores.
    is_canonical = base64.b64encode(content).decode() == encoded
    if not line.startswith(_DASH) or len(content) <= _KEY_HASH_BYTES or not is_canonical:
        raise NoteError("Expected the line of a signature, got another form")
    return name, content[:_KEY_HASH_BYTES], base64.b64encode(content[_KEY_HASH_BYTES:]).decode()


def _expect_signed(text: str, signed: Signed, keys: PublicKeys) -> None:
    try:
        keys.verify(text.encode(), signed, "the checkpoint")
    except ContractError as error:
        raise NoteError(str(error)) from None


@functools.lru_cache(maxsize=64)
def _key_hash(name: str, raw_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw_key).digest()[:_KEY_HASH_BYTES]
