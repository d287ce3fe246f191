{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "viewer_number"],
    on_schema_change="append_new_columns",
    indexes=[{"columns": ["account_id", "viewer_number"]}] if target.type == "postgres" else [],
) }}

with sessions as (
    select
        sessions.*,
        row_number() over (
            partition by account_id, viewer_key order by received_at desc nulls last, {{ wistia.bytewise("event_key") }} desc
        ) as number_from_last
    from {{ wistia.sessions_of_viewers() }} as sessions
),

-- what most recent session says who it was
named as (
    select
        *,
        row_number() over (partition by account_id, viewer_key order by email is null, number_from_last) as email_choice,
        row_number() over (
            partition by account_id, viewer_key
            order by conversion_email is null, number_from_last
        ) as conversion_choice
    from sessions
)

select
    account_id,
    viewer_key,
    viewer_number,
    count(*) as session_count,
    count(distinct media_id) as media_count,
    min(received_at) as first_session_at,
    max(received_at) as last_session_at,
    coalesce(sum(watched_seconds), 0) / 3600 as watched_hours,
    sum(viewed_fraction) / nullif(count(viewed_fraction), 0) as mean_viewed_fraction,
    max(viewed_fraction) as best_viewed_fraction,
    count(case when is_completed then 1 end) as completed_session_count,
    max(case when email_choice = 1 then email end) as email,
    max(case when conversion_choice = 1 then conversion_email end) as conversion_email,
    max(case when conversion_choice = 1 then conversion_first_name end) as first_name,
    max(case when conversion_choice = 1 then conversion_last_name end) as last_name,
    min(case when is_converted then received_at end) as first_converted_at,
    {% for name in ["country", "region", "city", "org", "device_class", "platform", "browser"] -%}
    max(case when number_from_last = 1 then {{ name }} end) as last_{{ name }},
    {% endfor -%}
    (select max(viewer_batch) from {{ ref("wistia__sessions") }} as sessions) as batch
from named
group by account_id, viewer_key, viewer_number
