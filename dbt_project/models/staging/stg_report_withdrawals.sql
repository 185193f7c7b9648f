with

source as (

    select * from {{ source('raw', 'report_withdrawals') }}

),

final as (

    select
        transaction_id,
        withdrawn_at
    from source

)

select * from final
