-- A returned row is a customer with more transactions in one microsecond than `place` has ranks for, so that the
-- frames of the customer windows would no longer be exact.
select
    customer_id,
    occurred_at,
    count(*) as transactions
from {{ ref('stg_card_transactions') }}
where {{ days_built('occurred_at', look_back_days=30) }}
group by customer_id, occurred_at
having count(*) > {{ slots_of_a_moment() // 2 }}
