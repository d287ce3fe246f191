select
    account_id,
    captured_at,
    load_count,
    play_count,
    hours_watched,
    _dlt_load_id
from {{ source('wistia', 'account_stats') }} as account_stats
