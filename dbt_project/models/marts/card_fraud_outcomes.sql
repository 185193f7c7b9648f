{{ config(materialized='table') }}

with

transactions as (

    select * from {{ ref('stg_card_transactions') }}

),

fraud_reports as (

    select * from {{ ref('stg_fraud_reports') }}

),

final as (

    select
        fraud_reports.transaction_id,
        transactions.occurred_at,
        fraud_reports.reported_at,
        fraud_reports.withdrawn_at
    from fraud_reports
    inner join transactions
        on fraud_reports.transaction_id = transactions.transaction_id

)

select * from final
