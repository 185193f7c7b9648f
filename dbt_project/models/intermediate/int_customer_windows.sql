{%- set window_days = [1, 7, 30] -%}

with

transactions as (

    select
        *,
        {{ cents('amount') }} as amount_cents,
        {{ microseconds('occurred_at') }} as occurred_us
    from {{ ref('stg_card_transactions') }}
    where {{ days_built('occurred_at', look_back_days=window_days | max) }}

),

tied_moments as (

    select
        customer_id,
        occurred_at
    from transactions
    group by customer_id, occurred_at
    having count(*) > 1

),

tied as (

    select
        transactions.transaction_id,
        count(1) over (
            {{ customer_moment() }}
        ) as tx_count,
        sum(transactions.amount_cents) over (
            {{ customer_moment() }}
        ) as amount_cents,
        max(transactions.amount_cents) over (
            {{ customer_moment() }}
        ) as maximum_cents
    from transactions
    inner join tied_moments
        on transactions.customer_id = tied_moments.customer_id
        and transactions.occurred_at = tied_moments.occurred_at

),

-- What the current microsecond adds to a window: mostly one transaction.
moments as (

    select
        transactions.*,
        coalesce(tied.tx_count, 1) as moment_tx_count,
        coalesce(tied.amount_cents, transactions.amount_cents) as moment_amount_cents,
        coalesce(tied.maximum_cents, transactions.amount_cents) as moment_maximum_cents
    from transactions
    left join tied
        on transactions.transaction_id = tied.transaction_id

),

windowed as (

    select
        {%- for days in window_days %}
        moment_tx_count + count(1) over (
            {{ customer_window(days) }}
        ) as tx_count_{{ days }}d,
        moment_amount_cents + coalesce(sum(amount_cents) over (
            {{ customer_window(days) }}
        ), 0) as amount_cents_{{ days }}d,
        {%- endfor %}
        greatest(moment_maximum_cents, coalesce(max(amount_cents) over (
            {{ customer_window(7) }}
        ), 0)) as maximum_cents_7d,
        transaction_id,
        occurred_at,
        amount_cents
    from moments

),

averaged as (

    select
        transaction_id,
        occurred_at,
        amount_cents,
        maximum_cents_7d,
        {%- for days in window_days %}
        cast(tx_count_{{ days }}d as bigint) as customer_tx_count_{{ days }}d,
        {{ in_units('amount_cents_' ~ days ~ 'd') }} / tx_count_{{ days }}d as customer_mean_amount_{{ days }}d
        {{- "," if not loop.last }}
        {%- endfor %}
    from windowed
    where {{ days_built('occurred_at') }}

),

final as (

    select
        transaction_id,
        occurred_at,
        {%- for days in window_days %}
        customer_tx_count_{{ days }}d,
        customer_mean_amount_{{ days }}d,
        {%- endfor %}
        case
            when customer_mean_amount_30d > 0 then {{ in_units('amount_cents') }} / customer_mean_amount_30d
            else cast(0 as double)
        end as customer_amount_ratio_30d,
        {{ in_units('maximum_cents_7d') }} as customer_max_amount_7d
    from averaged

)

select * from final
