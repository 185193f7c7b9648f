-- A returned row is a transaction with two overlapping periods: a training set would hold it twice.
select earlier.transaction_id
from {{ ref('card_fraud_outcomes') }} as earlier
inner join {{ ref('card_fraud_outcomes') }} as later
    on earlier.transaction_id = later.transaction_id
    and earlier.reported_at < later.reported_at
where earlier.withdrawn_at is null or earlier.withdrawn_at > later.reported_at
