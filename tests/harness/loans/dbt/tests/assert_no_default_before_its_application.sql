select application_id
from {{ ref('loan_outcomes') }}
where reported_at < observed_at
