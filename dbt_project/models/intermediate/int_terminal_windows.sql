{%- set window_days = [1, 7, 30] -%}
{%- set longest_days = report_delay_days() + window_days | max -%}

with

transactions as (

    select
        *,
        {{ microseconds('occurred_at') }} as occurred_us
    from {{ ref('stg_card_transactions') }}
    where {{ days_built('occurred_at', look_back_days=longest_days) }}

),

reported_transactions as (

    select
        *,
        {{ microseconds('occurred_at') }} as occurred_us
    from {{ ref('int_reported_transactions') }}
    where {{ days_built('occurred_at', look_back_days=longest_days) }}

),

-- A plain fraud is of an amount that is nothing unusual for the card: the terminal is the likelier cause.
frauds as (

    select
        transaction_id,
        terminal_id,
        occurred_us,
        case when customer_amount_ratio_30d < 2 then 1 else 0 end as is_plain,
        occurred_us + {{ days_in_microseconds(report_delay_days()) }} as matured_us,
        greatest(
            occurred_us + {{ days_in_microseconds(report_delay_days()) }}, {{ microseconds('reported_at') }}
        ) as counts_from_us,
        {{ microseconds('withdrawn_at') }} as withdrawn_us,
        row_number() over (
            partition by transaction_id
            order by reported_at
        ) as period_number
    from reported_transactions

),

-- A fraud that was withdrawn and reported again has several periods, which do not overlap.
periods as (

    select
        frauds.*,
        coalesce(
            frauds.withdrawn_us, frauds.matured_us + {{ days_in_microseconds(window_days | max) }}
        ) as counts_until_us,
        following.counts_from_us as counts_again_from_us
    from frauds
    left join frauds as following
        on frauds.transaction_id = following.transaction_id
        and frauds.period_number + 1 = following.period_number

),

-- While a fraud is not reported yet or its report is withdrawn, it looks genuine.
seemingly_genuine as (

    select
        terminal_id,
        occurred_us,
        matured_us as seems_from_us,
        counts_from_us as seems_until_us
    from periods
    where period_number = 1

    union all

    select
        terminal_id,
        occurred_us,
        greatest(matured_us, withdrawn_us) as seems_from_us,
        coalesce(
            counts_again_from_us, occurred_us + {{ days_in_microseconds(longest_days) }}
        ) as seems_until_us
    from periods
    where withdrawn_us is not null

),

-- What is known of a terminal's frauds changes only at these moments: a fraud's transaction matures, its report makes it
-- count in every window, and it leaves each window at its own time or with its withdrawal. One reported after that never
-- counts in it.
fraud_changes as (

    select
        terminal_id,
        matured_us as changes_us,
        occurred_us as matured_fraud_us,
        cast(null as bigint) as known_fraud_us,
        0 as plain_change
        {%- for days in window_days %},
        0 as change_{{ days }}d
        {%- endfor %}
    from periods

    union all

    select
        terminal_id,
        counts_from_us as changes_us,
        cast(null as bigint) as matured_fraud_us,
        case when withdrawn_us is null then occurred_us end as known_fraud_us,
        is_plain as plain_change
        {%- for days in window_days %},
        1 as change_{{ days }}d
        {%- endfor %}
    from periods
    {%- for leaving_days in window_days %}

    union all

    select
        terminal_id,
        greatest(
            counts_from_us,
            least(counts_until_us, matured_us + {{ days_in_microseconds(leaving_days) }})
        ) as changes_us,
        cast(null as bigint) as matured_fraud_us,
        cast(null as bigint) as known_fraud_us,
        {{ '-is_plain' if leaving_days == window_days | max else 0 }} as plain_change
        {%- for days in window_days %},
        {{ -1 if days == leaving_days else 0 }} as change_{{ days }}d
        {%- endfor %}
    from periods
    {%- endfor %}

),

fraud_moments as (

    select
        terminal_id,
        changes_us,
        max(matured_fraud_us) as matured_fraud_us,
        max(known_fraud_us) as known_fraud_us,
        sum(plain_change) as plain_change
        {%- for days in window_days %},
        sum(change_{{ days }}d) as change_{{ days }}d
        {%- endfor %}
    from fraud_changes
    group by terminal_id, changes_us

),

-- The bound of the longest window keeps this join and the next small where reports are very late or withdrawn.
last_seemingly_genuine as (

    select
        fraud_moments.terminal_id,
        fraud_moments.changes_us,
        max(seemingly_genuine.occurred_us) as last_unreported_us
    from seemingly_genuine
    inner join fraud_moments
        on seemingly_genuine.terminal_id = fraud_moments.terminal_id
        and seemingly_genuine.seems_from_us <= fraud_moments.changes_us
        and seemingly_genuine.seems_until_us > fraud_moments.changes_us
        and seemingly_genuine.occurred_us + {{ days_in_microseconds(longest_days) }} > fraud_moments.changes_us
    group by fraud_moments.terminal_id, fraud_moments.changes_us

),

-- The last known fraud is a running maximum of those that are never withdrawn; the others are few and are joined.
last_withdrawn_later as (

    select
        fraud_moments.terminal_id,
        fraud_moments.changes_us,
        max(periods.occurred_us) as last_known_fraud_us
    from periods
    inner join fraud_moments
        on periods.terminal_id = fraud_moments.terminal_id
        and periods.counts_from_us <= fraud_moments.changes_us
        and periods.withdrawn_us > fraud_moments.changes_us
        and periods.occurred_us + {{ days_in_microseconds(longest_days) }} > fraud_moments.changes_us
    group by fraud_moments.terminal_id, fraud_moments.changes_us

),

fraud_states as (

    select
        fraud_moments.terminal_id,
        fraud_moments.changes_us,
        last_seemingly_genuine.last_unreported_us,
        last_withdrawn_later.last_known_fraud_us as last_withdrawn_later_us,
        row_number() over (
            partition by fraud_moments.terminal_id
            order by fraud_moments.changes_us
        ) as change_number,
        max(fraud_moments.matured_fraud_us) over (
            partition by fraud_moments.terminal_id
            order by fraud_moments.changes_us
            rows between unbounded preceding and current row
        ) as last_matured_fraud_us,
        max(fraud_moments.known_fraud_us) over (
            partition by fraud_moments.terminal_id
            order by fraud_moments.changes_us
            rows between unbounded preceding and current row
        ) as last_known_fraud_us,
        sum(fraud_moments.plain_change) over (
            partition by fraud_moments.terminal_id
            order by fraud_moments.changes_us
            rows between unbounded preceding and current row
        ) as plain_fraud_count
        {%- for days in window_days %},
        sum(fraud_moments.change_{{ days }}d) over (
            partition by fraud_moments.terminal_id
            order by fraud_moments.changes_us
            rows between unbounded preceding and current row
        ) as fraud_count_{{ days }}d
        {%- endfor %}
    from fraud_moments
    left join last_seemingly_genuine
        on fraud_moments.terminal_id = last_seemingly_genuine.terminal_id
        and fraud_moments.changes_us = last_seemingly_genuine.changes_us
    left join last_withdrawn_later
        on fraud_moments.terminal_id = last_withdrawn_later.terminal_id
        and fraud_moments.changes_us = last_withdrawn_later.changes_us

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
    from fraud_states

    union all

    select
        transaction_id,
        terminal_id,
        occurred_us as at_us,
        1 as is_transaction,
        0 as change_number
    from transactions
    where
        terminal_id in (select frauds.terminal_id from frauds)
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
        fraud_states.last_unreported_us,
        fraud_states.last_matured_fraud_us,
        greatest(
            coalesce(fraud_states.last_known_fraud_us, 0), coalesce(fraud_states.last_withdrawn_later_us, 0)
        ) as last_known_fraud_us,
        fraud_states.plain_fraud_count
        {%- for days in window_days %},
        fraud_states.fraud_count_{{ days }}d
        {%- endfor %}
    from last_changes
    inner join fraud_states
        on last_changes.terminal_id = fraud_states.terminal_id
        and last_changes.change_number = fraud_states.change_number
    where last_changes.is_transaction = 1

),

unreported_transactions as (

    select
        transactions.*,
        case when frauds.transaction_id is null then transactions.occurred_us end as genuine_us
    from transactions
    left join frauds
        on transactions.transaction_id = frauds.transaction_id
        and frauds.period_number = 1

),

windowed as (

    select
        {%- for days in window_days %}
        count(1) over (
            {{ delayed_terminal_window(days) }}
        ) as tx_count_{{ days }}d,
        {%- endfor %}
        max(genuine_us) over (
            {{ delayed_terminal_window(window_days | max) }}
        ) as last_genuine_us,
        transaction_id,
        occurred_at,
        occurred_us
    from unreported_transactions

),

-- Times of the terminal's last transactions, 0 if the longest window has no transaction.
known as (

    select
        windowed.*,
        {%- for days in window_days %}
        coalesce(known_frauds.fraud_count_{{ days }}d, 0) as fraud_count_{{ days }}d,
        {%- endfor %}
        windowed.occurred_us - {{ days_in_microseconds(longest_days) }} as window_starts_us,
        greatest(
            coalesce(windowed.last_genuine_us, 0), coalesce(known_frauds.last_unreported_us, 0)
        ) as last_seeming_genuine_us,
        greatest(
            coalesce(windowed.last_genuine_us, 0), coalesce(known_frauds.last_matured_fraud_us, 0)
        ) as last_matured_us,
        coalesce(known_frauds.last_known_fraud_us, 0) as last_known_fraud_us,
        coalesce(known_frauds.plain_fraud_count, 0) as plain_fraud_count
    from windowed
    left join known_frauds
        on windowed.transaction_id = known_frauds.transaction_id
    where {{ days_built('windowed.occurred_at') }}

),

final as (

    select
        transaction_id,
        occurred_at,
        {%- for days in window_days %}
        cast(tx_count_{{ days }}d as bigint) as terminal_tx_count_{{ days }}d,
        case
            when fraud_count_{{ days }}d > 0 then cast(fraud_count_{{ days }}d as double) / tx_count_{{ days }}d
            else cast(0 as double)
        end as terminal_fraud_share_{{ days }}d,
        {%- endfor %}
        case
            when last_seeming_genuine_us > window_starts_us
                then cast(occurred_us - last_seeming_genuine_us as double) / 3600000000
            else cast({{ longest_days * 24 }} as double)
        end as terminal_hours_since_genuine,
        cast(
            case
                when last_known_fraud_us > window_starts_us and last_known_fraud_us = last_matured_us then 1
                else 0
            end as integer
        ) as is_terminal_last_fraud,
        cast(plain_fraud_count as bigint) as terminal_plain_fraud_count_{{ window_days | max }}d
    from known

)

select * from final
