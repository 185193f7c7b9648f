"""Keeps the rows of erased persons out of later loads."""

import functools
import hmac
from collections.abc import Callable

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys
from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.loading.staging import delete_keys
from lifecycle.warehouse.raw_tables import ERASED_TABLE, Declarations, RawRelation

KeyHash = Callable[[str], str]
"""Keyed hash of an id's text."""


def key_hash_of(settings: Settings) -> KeyHash:
    """HMAC-SHA256 in hex with the installation's pseudonym key: for a customer, the entity key of decision records.

    The first call reads the key, or makes it where it does not exist yet: a load that needs no hash makes no keys.
    """

    @functools.cache
    def key() -> bytes:
        return ensure_keys(settings).pseudonym_key_path.read_bytes()

    return lambda text: hmac.digest(key(), text.encode(), "sha256").hex()


def leave_out_erased(
    session: Session, declared: Declarations, relation: RawRelation, staged: str, key_hash: KeyHash | None
) -> int:
    """Delete the rows of erased entities from a table of `session.files`; returns their number.

    Rows without an entity are about rows of another table: those that are about an erased row are found by its key.

    Raises
    ------
    LifecycleError
        If there are erased entities, but no hash to recognise them by.
    """
    root = declared.root_of(relation)
    kind, column = (relation.entity_kind, relation.entity) if relation.entity else (root.key_kind, relation.key)
    if column is None or (relation.entity is None and root.entity is None):
        return 0
    erased = set(session.query(f"select key_hash from {ERASED_TABLE} where kind = ?", [kind]).column(0).to_pylist())
    if not erased:
        return 0
    if key_hash is None:
        raise LifecycleError("Expected the hash of erased persons, got none: their rows would be loaded again")
    ids = session.files.query(f"select distinct {column} from {staged} where {column} is not null").column(0)
    found = [value for value in ids.to_pylist() if key_hash(str(value)) in erased]
    before: int = _count(session, staged)
    delete_keys(session.files, staged, column, found)
    return before - _count(session, staged)


def _count(session: Session, staged: str) -> int:
    rows: int = session.files.query(f"select count(*) as row_count from {staged}").column(0)[0].as_py()
    return rows
