"""The signed envelope of a document in the release store; the signature covers the bytes of its payload."""

from lifecycle.signing.keys import Keys
from serving.contract.documents import Consent, Freeze, Release, Resume, SignedRelease, encode


def signed_envelope(document: Release | Freeze | Resume | Consent, keys: Keys) -> bytes:
    """A document in its signed envelope."""
    payload = encode(document)
    signed = keys.signing_key.sign(payload)
    return encode(SignedRelease(payload=payload.decode(), key_id=signed.key_id, signature=signed.signature))
