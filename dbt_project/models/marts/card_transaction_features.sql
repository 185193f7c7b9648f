{{
    config(
        materialized='incremental',
        incremental_strategy='days',
        on_schema_change='fail',
    )
}}
{%- set window_days = [1, 7, 30] -%}

with

transactions as (

    select * from {{ ref('stg_card_transactions') }}
    where {{ days_built('occurred_at') }}

),

customer_windows as (

    select * from {{ ref('int_customer_windows') }}
    where {{ days_built('occurred_at') }}

),

terminal_windows as (

    select * from {{ ref('int_terminal_windows') }}
    where {{ days_built('occurred_at') }}

),

final as (

    select
        transactions.transaction_id,
        transactions.customer_id,
        transactions.terminal_id,
        transactions.occurred_at,
        transactions.amount,
        cast(
            case when {{ weekday('transactions.occurred_at') }} >= 5 then 1 else 0 end as integer
        ) as is_weekend,
        cast(
            case when extract(hour from transactions.occurred_at) <= 6 then 1 else 0 end as integer
        ) as is_night,
        {%- for days in window_days %}
        customer_windows.customer_tx_count_{{ days }}d,
        customer_windows.customer_mean_amount_{{ days }}d,
        {%- endfor %}
        {%- for days in window_days %}
        terminal_windows.terminal_tx_count_{{ days }}d,
        terminal_windows.terminal_fraud_share_{{ days }}d,
        {%- endfor %}
        customer_windows.customer_amount_ratio_30d,
        customer_windows.customer_max_amount_ratio_7d,
        terminal_windows.terminal_hours_since_genuine,
        terminal_windows.is_terminal_last_fraud,
        terminal_windows.terminal_plain_fraud_count_30d
    from transactions
    inner join customer_windows
        on transactions.transaction_id = customer_windows.transaction_id
    inner join terminal_windows
        on transactions.transaction_id = terminal_windows.transaction_id

)

select * from final
