select
    account_id,
    event_key,
    visitor_key,
    received_at,
    country,
    region,
    city,
    org,
    media_id,
    media_name,
    viewed_fraction as percent_viewed,
    watched_seconds as duration_viewed,
    coalesce(conversion_email, email) as email,
    conversion_first_name as first_name,
    conversion_last_name as last_name
from {{ ref("wistia__sessions") }} as sessions
