select
    account_id,
    visitor_key,
    created_at,
    last_active_at,
    last_event_key,
    load_count,
    play_count,
    nullif(visitor_identity__name, '') as visitor_name,
    nullif(visitor_identity__email, '') as email,
    nullif(visitor_identity__org__name, '') as org_name,
    nullif(visitor_identity__org__title, '') as org_title,
    nullif(nullif(user_agent_details__browser, ''), 'Unknown Browser') as browser,
    nullif(nullif(user_agent_details__browser_version, ''), '0') as browser_version,
    nullif(nullif(user_agent_details__platform, ''), 'Unknown') as platform,
    case user_agent_details__mobile when true then 'mobile' when false then 'desktop' end as device_class,
    _dlt_load_id
from {{ source('wistia', 'visitors') }} as visitors
