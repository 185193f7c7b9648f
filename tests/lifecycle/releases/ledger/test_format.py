"""Hashes and notes against the formats' own published examples."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.merkle import EMPTY_ROOT, GrowingTree, leaf_hash, node_hash
from lifecycle.releases.ledger.notes import (
    ForeignKeyError,
    Head,
    NoteError,
    open_checkpoint,
    open_note,
    sign_note,
    verifier_keys,
)
from lifecycle.releases.ledger.reading import last_note
from serving.artefacts.signatures import PublicKeys
from tests.harness.ledger_process import event
from tests.harness.small_models import SmallStore

RFC_LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
RFC_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""Leaves and roots of the reference implementation of Certificate Transparency (RFC 6962)."""
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""Example of the reference implementation of signed notes (golang.org/x/mod/sumdb/note)."""


def test_roots_are_those_of_certificate_transparency() -> None:
    tree = GrowingTree()
    assert tree.root() == EMPTY_ROOT == hashlib.sha256(b"").digest()
    for leaf, root in zip(RFC_LEAVES, RFC_ROOTS, strict=True):
        tree.append(leaf_hash(bytes.fromhex(leaf)))
        assert tree.root().hex() == root


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(recursive_root(leaves[:half]), recursive_root(leaves[half:]))


def test_the_growing_tree_has_the_root_of_the_definition() -> None:
    tree, leaves = GrowingTree(), list[bytes]()
    for number in range(200):
        leaves.append(leaf_hash(str(number).encode()))
        tree.append(leaves[-1])
        assert tree.root() == recursive_root(leaves)


def keys_of(verifier_key: str) -> PublicKeys:
    raw = base64.b64decode(verifier_key.split("+", 2)[2])[1:]
    return PublicKeys((Ed25519PublicKey.from_public_bytes(raw),))


def test_a_note_of_the_reference_implementation_opens() -> None:
    keys = keys_of(GO_KEY)
    assert open_note(GO_NOTE, keys) == (GO_NOTE.partition("\n\n")[0] + "\n", "PeterNeumann")
    assert verifier_keys("PeterNeumann", keys) == [GO_KEY]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("answer", "Answer"),
        ("PeterNeumann", "PeterNeumenn"),
        ("x08go", "y08go"),
        ("ZJkuB", "ZJkuC"),
        ("nAM=", "nAN="),
        ("\N{EM DASH} ", "- "),
        ("\n\n", "\n"),
        ("AM=\n", "AM="),
    ],
)
def test_no_changed_note_opens(before: str, after: str) -> None:
    changed = GO_NOTE.replace(before, after)
    assert changed != GO_NOTE
    with pytest.raises(NoteError):
        open_note(changed, keys_of(GO_KEY))


def test_an_outsider_reads_a_checkpoint_with_the_formats_rules_alone(store: SmallStore) -> None:
    head = Ledger(store.settings.release_store, store.keys).append(event("w", 1))
    note = last_note(store.settings.release_store)
    origin, size, root, empty, signature, end = note.split("\n")
    assert (int(size), base64.b64decode(root), empty, end) == (2, head.root, "", "")
    dash, name, blob = signature.split(" ")
    assert (dash, name) == ("\N{EM DASH}", origin)
    [verifier_key] = verifier_keys(origin, store.keys.public_keys)
    _, key_hash, encoded = verifier_key.split("+", 2)
    algorithm_and_key, signed = base64.b64decode(encoded), base64.b64decode(blob)
    assert signed[:4] == hashlib.sha256(origin.encode() + b"\n" + algorithm_and_key).digest()[:4]
    assert signed[:4].hex() == key_hash
    text = note.partition("\n\n")[0] + "\n"
    Ed25519PublicKey.from_public_bytes(algorithm_and_key[1:]).verify(signed[4:], text.encode())
    leaves = [
        line.split(b" ", 1)[1]
        for line in (store.settings.release_store / "ledger/records.jsonl").read_bytes().splitlines()
    ]
    assert recursive_root([leaf_hash(leaf) for leaf in leaves]) == head.root


def test_a_cosignature_of_a_witness_changes_nothing(store: SmallStore) -> None:
    head = Ledger(store.settings.release_store, store.keys).append(event("w", 1))
    note = last_note(store.settings.release_store)
    witnessed = note + f"\N{EM DASH} witness.example/w1 {base64.b64encode(bytes(76)).decode()}\n"
    assert open_checkpoint(witnessed, store.keys.public_keys).head == head


def test_a_note_that_another_key_signed_is_told_apart(store: SmallStore) -> None:
    text = GO_NOTE.partition("\n\n")[0] + "\n"
    with pytest.raises(ForeignKeyError, match="got one by another key, hash"):
        open_note(sign_note(text, "other", store.keys), keys_of(GO_KEY))


@pytest.mark.parametrize("text", ["", "1", "1 ab", "01 " + "0" * 64, "1  " + "0" * 64, "x " + "0" * 64])
def test_a_head_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Head.parse(text)
