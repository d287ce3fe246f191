select
    account_id,
    date,
    media_id,
    media_name,
    country,
    device_class,
    browser,
    platform,
    session_count,
    viewer_count,
    watched_hours,
    completed_session_count,
    completed_fraction,
    mean_viewed_fraction,
    rewatch_count,
    conversion_count
from {{ ref("int_wistia__audience_days") }} as audience_days
