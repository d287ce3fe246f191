select
    account_id,
    media_id,
    load_count,
    play_count,
    hours_watched,
    play_rate,
    engagement as engagement_fraction,
    visitors as visitor_count,
    _dlt_load_id
from {{ source('wistia', 'media_stats') }} as media_stats
