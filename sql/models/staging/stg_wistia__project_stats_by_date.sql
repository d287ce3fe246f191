select
    account_id,
    project_id,
    date,
    load_count,
    play_count,
    hours_watched,
    _dlt_load_id
from {{ source('wistia', 'project_stats_by_date') }} as project_stats_by_date
