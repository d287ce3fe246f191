select
    account_id,
    media_id,
    engagement as engagement_fraction,
    engagement_data,
    rewatch_data,
    _dlt_load_id
from {{ source('wistia', 'media_engagement') }} as media_engagement
