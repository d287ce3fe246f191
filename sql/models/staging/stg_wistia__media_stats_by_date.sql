select
    account_id,
    media_id,
    date,
    load_count,
    play_count,
    hours_watched,
    _dlt_load_id
from {{ source('wistia', 'media_stats_by_date') }} as media_stats_by_date
