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

facts as (

    select
        transactions.transaction_id,
        transactions.customer_id,
        transactions.terminal_id,
        transactions.occurred_at,
        transactions.amount,
        {%- for days in window_days %}
        customer_windows.customer_tx_count_{{ days }}d,
        customer_windows.customer_mean_amount_{{ days }}d,
        {%- endfor %}
        customer_windows.customer_max_amount_7d,
        {%- for days in window_days %}
        terminal_windows.terminal_tx_count_{{ days }}d,
        terminal_windows.terminal_fraud_share_{{ days }}d,
        {%- endfor %}
        terminal_windows.terminal_hours_since_genuine,
        terminal_windows.is_terminal_last_fraud,
        terminal_windows.terminal_plain_fraud_count_30d
    from transactions
    inner join customer_windows
        on transactions.transaction_id = customer_windows.transaction_id
    inner join terminal_windows
        on transactions.transaction_id = terminal_windows.transaction_id

),

final as (

    select
        transaction_id,
        customer_id,
        terminal_id,
        occurred_at,
        amount,
        cast({{ derived('card_fraud', 'is_weekend') }} as integer) as is_weekend,
        cast({{ derived('card_fraud', 'is_night') }} as integer) as is_night,
        {%- for days in window_days %}
        customer_tx_count_{{ days }}d,
        customer_mean_amount_{{ days }}d,
        {%- endfor %}
        {%- for days in window_days %}
        terminal_tx_count_{{ days }}d,
        terminal_fraud_share_{{ days }}d,
        {%- endfor %}
        {{ derived('card_fraud', 'customer_amount_ratio_30d') }} as customer_amount_ratio_30d,
        {{ derived('card_fraud', 'customer_max_amount_ratio_7d') }} as customer_max_amount_ratio_7d,
        terminal_hours_since_genuine,
        is_terminal_last_fraud,
        terminal_plain_fraud_count_30d,
        customer_max_amount_7d
    from facts

)

select * from final
