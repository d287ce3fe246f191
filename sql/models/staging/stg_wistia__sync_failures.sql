select
    run_id,
    resource,
    account_id,
    parent_id,
    failed_at,
    error
from {{ source('wistia', 'sync_failures') }} as sync_failures
