select
    account_id,
    date,
    load_count,
    play_count,
    hours_watched,
    _dlt_load_id
from {{ source('wistia', 'account_stats_by_date') }} as account_stats_by_date
