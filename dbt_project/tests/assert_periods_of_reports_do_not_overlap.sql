-- A returned row is a transaction with two periods that overlap or are the same: a training set would hold it twice.
select earlier.transaction_id
from {{ ref('stg_fraud_reports') }} as earlier
inner join {{ ref('stg_fraud_reports') }} as later
    on earlier.transaction_id = later.transaction_id
    and earlier.reported_at < later.reported_at
where earlier.withdrawn_at is null or earlier.withdrawn_at > later.reported_at

union all

select transaction_id
from {{ ref('stg_fraud_reports') }}
group by transaction_id, reported_at
having count(*) > 1
