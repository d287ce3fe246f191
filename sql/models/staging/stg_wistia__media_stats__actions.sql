select
    account_id,
    media_id,
    position,
    type as action_type,
    action_count,
    impression_count,
    rate as action_rate,
    nullif(url, '') as action_url,
    nullif(text, '') as action_text,
    _dlt_load_id
from {{ source('wistia', 'media_stats__actions') }} as media_stats__actions
