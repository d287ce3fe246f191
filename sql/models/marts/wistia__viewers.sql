with maps as (
    select
        account_id,
        viewer_key,
        {{ wistia.json_map("media_id", "best_viewed_fraction") }} as media_viewed_fractions,
        {{ wistia.json_map("media_id", "watched_seconds") }} as media_watched_seconds
    from {{ ref("int_wistia__media_viewers") }} as media_viewers
    where media_id is not null
    group by account_id, viewer_key
),

known as (
    select account_id, visitor_key from {{ ref("stg_wistia__visitors") }} as visitors where visitor_key != ''
    union
    select account_id, viewer_key as visitor_key from {{ ref("int_wistia__viewers") }} as viewers
),

-- how long ago is counted from here: an account that nobody loads any more keeps its segments
newest as (
    select account_id, max(last_session_at) as newest_session_at
    from {{ ref("int_wistia__viewers") }} as viewers
    group by account_id
),

viewers as (
    select
        known.account_id,
        known.visitor_key,
        visitors.visitor_name,
        coalesce(visitors.email, sessions.email, sessions.conversion_email) as email,
        sessions.first_name,
        sessions.last_name,
        visitors.org_name,
        visitors.org_title,
        visitors.created_at,
        visitors.last_active_at,
        least(visitors.created_at, visitors.last_active_at, sessions.first_session_at) as first_seen_at,
        greatest(visitors.last_active_at, sessions.last_session_at) as last_seen_at,
        sessions.first_session_at,
        sessions.last_session_at,
        visitors.load_count,
        visitors.play_count,
        coalesce(sessions.session_count, 0) as session_count,
        coalesce(sessions.media_count, 0) as media_count,
        coalesce(sessions.watched_hours, 0) as watched_hours,
        sessions.mean_viewed_fraction,
        sessions.best_viewed_fraction,
        coalesce(sessions.completed_session_count, 0) as completed_session_count,
        sessions.first_converted_at,
        sessions.last_country,
        sessions.last_region,
        sessions.last_city,
        sessions.last_org,
        coalesce(sessions.last_device_class, visitors.device_class) as last_device_class,
        coalesce(sessions.last_platform, visitors.platform) as last_platform,
        coalesce(sessions.last_browser, visitors.browser) as last_browser,
        maps.media_viewed_fractions,
        maps.media_watched_seconds,
        {{ wistia.seconds_between("sessions.last_session_at", "newest.newest_session_at") }} as seconds_away,
        {{ wistia.seconds_between("sessions.first_session_at", "newest.newest_session_at") }} as seconds_known
    from known
    left join {{ ref("stg_wistia__visitors") }} as visitors
        on {{ wistia.same(["account_id", "visitor_key"], "known", "visitors") }}
    left join {{ ref("int_wistia__viewers") }} as sessions
        on known.account_id = sessions.account_id and known.visitor_key = sessions.viewer_key
    left join maps
        on known.account_id = maps.account_id and known.visitor_key = maps.viewer_key
    left join newest
        on known.account_id = newest.account_id
)

select
    account_id,
    visitor_key,
    visitor_name,
    email,
    first_name,
    last_name,
    org_name,
    org_title,
    first_seen_at,
    last_seen_at,
    first_session_at,
    last_session_at,
    load_count,
    play_count,
    session_count,
    media_count,
    watched_hours,
    mean_viewed_fraction,
    best_viewed_fraction,
    completed_session_count,
    first_converted_at,
    last_country,
    last_region,
    last_city,
    last_org,
    last_device_class,
    last_platform,
    last_browser,
    case
        when session_count = 0 then 'never watched'
        when seconds_away > {{ var("wistia_lost_after_days") }} * 86400 then 'lost'
        when seconds_away > {{ var("wistia_lapsing_after_days") }} * 86400 then 'lapsing'
        when session_count >= {{ var("wistia_loyal_sessions") }}
            and mean_viewed_fraction >= {{ var("wistia_engaged_fraction") }} then 'loyal'
        when seconds_known <= {{ var("wistia_new_for_days") }} * 86400 then 'new'
        when mean_viewed_fraction >= {{ var("wistia_engaged_fraction") }} then 'engaged'
        else 'casual'
    end as segment,
    media_viewed_fractions,
    media_watched_seconds
from viewers
