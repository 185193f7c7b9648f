"""The declared tables of the shipped project have the definitions that existing installations have."""

from lifecycle.warehouse.interface import Dialect
from lifecycle.warehouse.raw_tables import raw_definitions

CARD_DEFINITIONS = """
create table if not exists raw.card_transactions (transaction_id BIGINT not null, occurred_at {at} not null, \
customer_id BIGINT not null, terminal_id BIGINT not null, amount DECIMAL(12,2) not null)
create table if not exists raw.card_transactions_versions (transaction_id BIGINT not null, occurred_at {at} not null, \
customer_id BIGINT not null, terminal_id BIGINT not null, amount DECIMAL(12,2) not null, known_at {at} not null)
create table if not exists raw.fraud_reports (transaction_id BIGINT not null, reported_at {at} not null)
create table if not exists raw.report_withdrawals (transaction_id BIGINT not null, withdrawn_at {at} not null)
create table if not exists protected.customers (customer_id BIGINT not null, segment VARCHAR not null, \
age_band VARCHAR not null, sex VARCHAR not null)
create table if not exists protected.customers_versions (customer_id BIGINT not null, segment VARCHAR not null, \
age_band VARCHAR not null, sex VARCHAR not null, known_at {at} not null)
create table if not exists raw.terminals (terminal_id BIGINT not null, kind VARCHAR not null)
create table if not exists raw.terminals_versions (terminal_id BIGINT not null, kind VARCHAR not null, \
known_at {at} not null)
create schema if not exists raw
create schema if not exists protected
create table if not exists raw.erased_keys (kind varchar not null, key_hash varchar not null, erased_at {at} not null)
"""
"""As the versions before the declarations made them."""


def test_the_shipped_declarations_give_the_tables_of_earlier_versions() -> None:
    for timestamp in ("TIMESTAMP", "timestamp_ntz(6)"):
        definitions = raw_definitions(Dialect(timestamp=timestamp))
        made = [definition.sql for definition in definitions if ".credit_" not in definition.name]
        expected = CARD_DEFINITIONS.strip().format(at=timestamp).splitlines()
        kept_by_loads = [sql for sql in made if "\n" in sql]
        assert sorted(made) == sorted([*expected, *kept_by_loads])
        assert [sql.split("(")[0].split()[-1] for sql in kept_by_loads] == [
            "raw.loads", "raw.load_rejects", "raw.removed_rows"
        ]  # fmt: skip
