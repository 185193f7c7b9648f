with

source as (

    select * from {{ source('raw', 'fraud_reports') }}

),

final as (

    select
        transaction_id,
        min(reported_at) as reported_at
    from source
    group by transaction_id

)

select * from final
