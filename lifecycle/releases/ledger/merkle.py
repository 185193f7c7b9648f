"""The hash tree over the records: RFC 6962, section 2.1, computed while records are appended."""

import hashlib

EMPTY_ROOT = hashlib.sha256(b"").digest()
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(content: bytes) -> bytes:
    """SHA-256 of a leaf; its prefix keeps a leaf from being taken for an inner node."""
    return hashlib.sha256(_LEAF + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of an inner node."""
    return hashlib.sha256(_NODE + left + right).digest()


class GrowingTree:
    r"""A tree that grows by leaves; it keeps the roots of its complete subtrees only, at most one for each level.

    Examples
    --------
    >>> tree = GrowingTree()
    >>> for record in (b"", b"\x00", b"\x10"):
    ...     tree.append(leaf_hash(record))
    >>> tree.size, tree.root().hex()[:16]
    (3, 'aeb6bcfe274b70a1')
    """

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []
        """Roots of complete subtrees, the largest first: one for each bit of `size` that is set."""

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        remaining = self.size
        while remaining & 1:
            leaf = node_hash(self._subtrees.pop(), leaf)
            remaining >>= 1
        self._subtrees.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree; of an empty one, the hash of nothing."""
        if not self._subtrees:
            return EMPTY_ROOT
        root = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            root = node_hash(left, root)
        return root
