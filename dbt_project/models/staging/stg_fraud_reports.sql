with

reports as (

    select * from {{ source('raw', 'fraud_reports') }}

),

withdrawals as (

    select * from {{ source('raw', 'report_withdrawals') }}

),

-- Each report with the withdrawal that ends it: the earliest at or after it.
ended_reports as (

    select
        reports.transaction_id,
        reports.reported_at,
        min(withdrawals.withdrawn_at) as withdrawn_at
    from reports
    left join withdrawals
        on reports.transaction_id = withdrawals.transaction_id
        and reports.reported_at <= withdrawals.withdrawn_at
    group by reports.transaction_id, reports.reported_at

),

-- The earliest of the reports that one withdrawal ends, or none.
final as (

    select
        transaction_id,
        min(reported_at) as reported_at,
        withdrawn_at
    from ended_reports
    group by transaction_id, withdrawn_at

)

select * from final
