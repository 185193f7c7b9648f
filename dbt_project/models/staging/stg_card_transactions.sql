with

source as (

    select * from {{ source('raw', 'card_transactions') }}

),

final as (

    select
        transaction_id,
        customer_id,
        terminal_id,
        occurred_at,
        amount
    from source

)

select * from final
