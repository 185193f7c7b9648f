select * from {{ source('raw', 'credit_outcomes') }}
