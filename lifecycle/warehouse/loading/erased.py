"""Keeps the rows of erased customers out of later loads."""

import functools
import hmac
from collections.abc import Callable

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys
from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.raw_tables import ERASED_TABLE, RelationName

KeyHash = Callable[[str], str]
"""Keyed hash of an id's text."""
_KINDS: dict[RelationName, tuple[str, str]] = {
    "card_transactions": ("customer", "customer_id"),
    "customers": ("customer", "customer_id"),
    "fraud_reports": ("transaction", "transaction_id"),
    "report_withdrawals": ("transaction", "transaction_id"),
}
"""Kind of tombstone and the column that it concerns, by relation."""


def key_hash_of(settings: Settings) -> KeyHash:
    """HMAC-SHA256 in hex with the installation's pseudonym key: for a customer, the entity key of decision records.

    The key is read, and made where there is none yet, by the first call: a load that needs no hash makes no keys.
    """

    @functools.cache
    def key() -> bytes:
        return ensure_keys(settings).pseudonym_key_path.read_bytes()

    return lambda text: hmac.digest(key(), text.encode(), "sha256").hex()


def leave_out_erased(session: Session, relation: RelationName, staged: str, key_hash: KeyHash | None) -> int:
    """Delete the rows of erased customers and transactions from a table of `session.files`; returns their number.

    Raises
    ------
    LifecycleError
        If there are erased customers, but no hash to recognise them by.
    """
    if relation not in _KINDS:
        return 0
    kind, column = _KINDS[relation]
    erased = set(session.query(f"select key_hash from {ERASED_TABLE} where kind = ?", [kind]).column(0).to_pylist())
    if not erased:
        return 0
    if key_hash is None:
        raise LifecycleError("Expected the hash of erased customers, got none: their rows would be loaded again")
    ids = session.files.query(f"select distinct {column} from {staged} where {column} is not null").column(0)
    found = [value for value in ids.to_pylist() if key_hash(str(value)) in erased]
    if not found:
        return 0
    condition = f"from {staged} where {column} in ({', '.join(map(str, found))})"
    rows: int = session.files.query(f"select count(*) as row_count {condition}").column(0)[0].as_py()
    session.files.execute(f"delete {condition}")
    return rows
