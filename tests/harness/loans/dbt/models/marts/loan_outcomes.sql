{{ config(materialized='table') }}

select
    defaults.application_id,
    applications.applied_at as observed_at,
    min(defaults.defaulted_at) as reported_at
from {{ source('raw', 'loan_defaults') }} as defaults
inner join {{ ref('stg_loan_applications') }} as applications
    on defaults.application_id = applications.application_id
group by defaults.application_id, applications.applied_at
