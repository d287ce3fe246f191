select
    account_id,
    endpoint,
    parent_id,
    refreshed_at,
    from_date,
    through_date,
    history_at,
    result,
    _dlt_load_id
from {{ source('wistia', 'refreshes') }} as refreshes
