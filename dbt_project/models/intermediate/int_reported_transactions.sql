{#- The terminal windows of a build look back this far, whichever days were built before. -#}
{%- set look_back_days = report_delay_days() + 30 -%}
{%- set window_days = 30 -%}
{{ config(meta={'look_back_days': look_back_days}) }}

with

transactions as (

    select
        *,
        {{ cents('amount') }} as amount_cents,
        {{ microseconds('occurred_at') }} as occurred_us
    from {{ ref('stg_card_transactions') }}
    where {{ days_built('occurred_at', look_back_days=look_back_days + window_days) }}

),

fraud_reports as (

    select * from {{ ref('stg_fraud_reports') }}

),

frauds as (

    select *
    from transactions
    where
        transaction_id in (select fraud_reports.transaction_id from fraud_reports)
        and {{ days_built('occurred_at', look_back_days=look_back_days) }}

),

days_back as (

    {%- for days in range(window_days + 1) %}
    select {{ days }} as days{{ " union all" if not loop.last }}
    {%- endfor %}

),

-- A fraud once for each day that its window touches, so that its customer's transactions are found by equality.
fraud_days as (

    select
        frauds.*,
        cast({{ dbt.dateadd('day', '-days_back.days', 'cast(frauds.occurred_at as date)') }} as date) as window_date
    from frauds
    cross join days_back

),

customer_windows as (

    select
        fraud_days.transaction_id,
        count(*) as tx_count,
        sum(transactions.amount_cents) as amount_cents
    from transactions
    inner join fraud_days
        on transactions.customer_id = fraud_days.customer_id
        and cast(transactions.occurred_at as date) = fraud_days.window_date
    where
        transactions.occurred_us > fraud_days.occurred_us - {{ days_in_microseconds(window_days) }}
        and (
            transactions.occurred_us < fraud_days.occurred_us
            or (
                transactions.occurred_us = fraud_days.occurred_us
                and transactions.transaction_id <= fraud_days.transaction_id
            )
        )
    group by fraud_days.transaction_id

),

final as (

    select
        frauds.transaction_id,
        frauds.terminal_id,
        frauds.occurred_at,
        fraud_reports.reported_at,
        fraud_reports.withdrawn_at,
        case
            when customer_windows.amount_cents > 0
                then {{ in_units('frauds.amount_cents') }}
                    / ({{ in_units('customer_windows.amount_cents') }} / customer_windows.tx_count)
            else cast(0 as double)
        end as customer_amount_ratio_30d
    from frauds
    inner join fraud_reports
        on frauds.transaction_id = fraud_reports.transaction_id
    inner join customer_windows
        on frauds.transaction_id = customer_windows.transaction_id

)

select * from final
