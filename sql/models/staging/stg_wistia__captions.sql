select
    account_id,
    media_id,
    caption_id,
    language,
    english_name,
    native_name,
    text as srt,
    is_draft,
    _dlt_load_id
from {{ source('wistia', 'captions') }} as captions
