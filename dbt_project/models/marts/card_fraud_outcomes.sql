{{ config(materialized='table') }}

with

transactions as (

    select * from {{ ref('stg_card_transactions') }}

),

fraud_reports as (

    select * from {{ source('raw', 'fraud_reports') }}

),

report_withdrawals as (

    select * from {{ ref('stg_report_withdrawals') }}

),

-- Each report with the withdrawal that ends it.
ended_reports as (

    select
        fraud_reports.transaction_id,
        fraud_reports.reported_at,
        min(report_withdrawals.withdrawn_at) as withdrawn_at
    from fraud_reports
    left join report_withdrawals
        on fraud_reports.transaction_id = report_withdrawals.transaction_id
        and fraud_reports.reported_at <= report_withdrawals.withdrawn_at
    group by fraud_reports.transaction_id, fraud_reports.reported_at

),

-- The earliest of the reports that one withdrawal ends, or none.
periods as (

    select
        transaction_id,
        withdrawn_at,
        min(reported_at) as reported_at
    from ended_reports
    group by transaction_id, withdrawn_at

),

final as (

    select
        periods.transaction_id,
        transactions.occurred_at,
        periods.reported_at,
        periods.withdrawn_at
    from periods
    inner join transactions
        on periods.transaction_id = transactions.transaction_id

)

select * from final
