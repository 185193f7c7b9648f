{%- set window_days = [1, 7, 30] -%}
{%- set look_back_days = report_delay_days() + window_days | max -%}

with

transactions as (

    select
        *,
        {{ microseconds('occurred_at') }} as occurred_us
    from {{ ref('stg_card_transactions') }}
    where {{ days_built('occurred_at', look_back_days=look_back_days) }}

),

fraud_reports as (

    select * from {{ ref('stg_fraud_reports') }}

),

frauds as (

    select
        transactions.terminal_id,
        transactions.occurred_us,
        greatest(
            transactions.occurred_us + {{ days_in_microseconds(report_delay_days()) }},
            {{ microseconds('fraud_reports.reported_at') }}
        ) as counts_from_us
    from fraud_reports
    inner join transactions
        on fraud_reports.transaction_id = transactions.transaction_id

),

-- A fraud enters every window at one moment and leaves each at its own; one reported after it would have left never counts.
fraud_changes as (

    select
        terminal_id,
        counts_from_us as changes_us,
        {%- for days in window_days %}
        1 as change_{{ days }}d{{ "," if not loop.last }}
        {%- endfor %}
    from frauds
    {%- for leaving_days in window_days %}

    union all

    select
        terminal_id,
        greatest(
            counts_from_us,
            occurred_us + {{ days_in_microseconds(report_delay_days() + leaving_days) }}
        ) as changes_us,
        {%- for days in window_days %}
        {{ -1 if days == leaving_days else 0 }} as change_{{ days }}d{{ "," if not loop.last }}
        {%- endfor %}
    from frauds
    {%- endfor %}

),

fraud_moments as (

    select
        terminal_id,
        changes_us,
        {%- for days in window_days %}
        sum(change_{{ days }}d) as change_{{ days }}d{{ "," if not loop.last }}
        {%- endfor %}
    from fraud_changes
    group by terminal_id, changes_us

),

fraud_counts as (

    select
        terminal_id,
        changes_us,
        row_number() over (
            partition by terminal_id
            order by changes_us
        ) as change_number,
        {%- for days in window_days %}
        sum(change_{{ days }}d) over (
            partition by terminal_id
            order by changes_us
            rows between unbounded preceding and current row
        ) as fraud_count_{{ days }}d{{ "," if not loop.last }}
        {%- endfor %}
    from fraud_moments

),

-- The last change at or before each transaction, by merging both in time: an inequality join would be quadratic in the
-- transactions of a terminal. Terminals without a fraud stay out.
changes_and_transactions as (

    select
        cast(null as bigint) as transaction_id,
        terminal_id,
        changes_us as at_us,
        0 as is_transaction,
        change_number
    from fraud_counts

    union all

    select
        transaction_id,
        terminal_id,
        occurred_us as at_us,
        1 as is_transaction,
        0 as change_number
    from transactions
    where
        terminal_id in (select fraud_counts.terminal_id from fraud_counts)
        and {{ days_built('occurred_at') }}

),

last_changes as (

    select
        transaction_id,
        terminal_id,
        is_transaction,
        max(change_number) over (
            partition by terminal_id
            order by at_us, is_transaction
            rows between unbounded preceding and current row
        ) as change_number
    from changes_and_transactions

),

known_frauds as (

    select
        last_changes.transaction_id,
        {%- for days in window_days %}
        fraud_counts.fraud_count_{{ days }}d{{ "," if not loop.last }}
        {%- endfor %}
    from last_changes
    inner join fraud_counts
        on last_changes.terminal_id = fraud_counts.terminal_id
        and last_changes.change_number = fraud_counts.change_number
    where last_changes.is_transaction = 1

),

windowed as (

    select
        {%- for days in window_days %}
        count(*) over (
            {{ delayed_terminal_window(days) }}
        ) as tx_count_{{ days }}d,
        {%- endfor %}
        transaction_id,
        occurred_at
    from transactions

),

final as (

    select
        windowed.transaction_id,
        windowed.occurred_at,
        {%- for days in window_days %}
        cast(windowed.tx_count_{{ days }}d as bigint) as terminal_tx_count_{{ days }}d,
        case
            when known_frauds.fraud_count_{{ days }}d > 0
                then cast(known_frauds.fraud_count_{{ days }}d as double) / windowed.tx_count_{{ days }}d
            else cast(0 as double)
        end as terminal_fraud_share_{{ days }}d{{ "," if not loop.last }}
        {%- endfor %}
    from windowed
    left join known_frauds
        on windowed.transaction_id = known_frauds.transaction_id
    where {{ days_built('windowed.occurred_at') }}

)

select * from final
