select
    account_id,
    media_id,
    max({{ wistia.bytewise("media_name") }}) as media_name,
    embed_host,
    embed_path,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content,
    min(received_at) as first_session_at,
    max(received_at) as last_session_at,
    count(*) as session_count,
    count(distinct nullif(visitor_key, '')) as viewer_count,
    coalesce(sum(watched_seconds), 0) / 3600 as watched_hours,
    count(case when is_completed then 1 end) as completed_session_count,
    cast(count(case when is_completed then 1 end) as {{ wistia.double() }})
        / nullif(count(viewed_fraction), 0) as completed_fraction,
    avg(viewed_fraction) as mean_viewed_fraction,
    count(case when is_rewatch then 1 end) as rewatch_count,
    count(case when is_converted then 1 end) as conversion_count
from {{ ref("wistia__sessions") }} as sessions
where media_id is not null
group by
    account_id,
    media_id,
    embed_host,
    embed_path,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content
