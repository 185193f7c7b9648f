{{ config(materialized='incremental') }}

with

examples as (

    select * from {{ source('raw', 'blank_examples') }}
    where {{ days_built('occurred_at') }}

),

outcomes as (

    select * from {{ source('raw', 'blank_outcomes') }}

),

final as (

    select
        examples.example_id,
        examples.entity_id,
        examples.occurred_at,
        examples.amount,
        examples.age_days,
        coalesce(examples.channel, 'other') as channel,
        outcomes.known_at as label_known_at,
        outcomes.is_positive
    from examples
    left join outcomes
        on examples.example_id = outcomes.example_id

)

select * from final
