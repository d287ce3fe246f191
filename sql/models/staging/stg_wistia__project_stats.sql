select
    account_id,
    project_id,
    load_count,
    play_count,
    hours_watched,
    number_of_videos as media_count,
    _dlt_load_id
from {{ source('wistia', 'project_stats') }} as project_stats
