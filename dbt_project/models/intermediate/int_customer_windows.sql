{%- set window_days = [1, 7, 30] -%}

with

transactions as (

    select * from {{ ref('stg_card_transactions') }}
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

tied_ranks as (

    select
        transactions.transaction_id,
        row_number() over (
            partition by transactions.customer_id, transactions.occurred_at
            order by transactions.transaction_id
        ) - 1 as tied_rank
    from transactions
    inner join tied_moments
        on transactions.customer_id = tied_moments.customer_id
        and transactions.occurred_at = tied_moments.occurred_at

),

placed as (

    select
        transactions.*,
        {{ cents('transactions.amount') }} as amount_cents,
        {{ place('transactions.occurred_at', 'coalesce(tied_ranks.tied_rank, 0)') }} as place
    from transactions
    left join tied_ranks
        on transactions.transaction_id = tied_ranks.transaction_id

),

windowed as (

    select
        {%- for days in window_days %}
        count(1) over (
            {{ customer_window(days) }}
        ) as tx_count_{{ days }}d,
        sum(amount_cents) over (
            {{ customer_window(days) }}
        ) as amount_cents_{{ days }}d,
        {%- endfor %}
        max(amount_cents) over (
            {{ customer_window(7) }}
        ) as maximum_cents_7d,
        transaction_id,
        occurred_at,
        amount_cents
    from placed

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
        case
            when customer_mean_amount_30d > 0 then {{ in_units('maximum_cents_7d') }} / customer_mean_amount_30d
            else cast(0 as double)
        end as customer_max_amount_ratio_7d
    from averaged

)

select * from final
