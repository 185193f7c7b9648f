{{ config(materialized='incremental') }}

with

applications as (

    select * from {{ ref('stg_loan_applications') }}
    where {{ days_built('applied_at') }}

),

final as (

    select
        application_id,
        client_id,
        applied_at as observed_at,
        {{ in_units(cents('limit_amount')) }} as limit_amount,
        age,
        education,
        ratio,
        cast(case when {{ weekday('applied_at') }} >= 5 then 1 else 0 end as integer) as is_weekend
    from applications

)

select * from final
