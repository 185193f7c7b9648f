with

source as (

    select * from {{ source('raw', 'loan_applications') }}

),

final as (

    select
        application_id,
        client_id,
        applied_at,
        limit_amount,
        age,
        education,
        ratio
    from source

)

select * from final
