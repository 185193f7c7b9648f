-- A returned row is a transaction that was reported as fraudulent before it happened: the label and the terminal windows
-- would leak the future.
select
    transaction_id
from {{ ref('card_fraud_outcomes') }}
where reported_at < occurred_at
