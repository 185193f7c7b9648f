{{ config(materialized='incremental') }}

with

clients as (

    select * from {{ ref('stg_credit_clients') }}
    where {{ days_built('observed_at') }}
        and months_on_book >= 6

),

outcomes as (

    select * from {{ ref('stg_credit_outcomes') }}

),

final as (

    select
        clients.application_id,
        clients.client_id,
        clients.observed_at,
        clients.months_on_book,
        clients.credit_limit,
        clients.education,
        {%- for month in range(1, 7) %}
        clients.pay_status_{{ month }},
        clients.bill_{{ month }},
        clients.paid_{{ month }},
        {%- endfor %}
        {{ derived('credit_default', 'utilisation') }} as utilisation,
        outcomes.known_at as label_known_at,
        outcomes.is_default
    from clients
    left join outcomes
        on clients.application_id = outcomes.application_id

)

select * from final
