select * from {{ source('raw', 'credit_clients') }}
