select
    account_id,
    run_id,
    run_at,
    resource,
    age,
    rows_added as added_count,
    rows_changed as changed_count,
    _dlt_load_id
from {{ source('wistia', 'restatements') }} as restatements
