{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "viewer_number"],
    on_schema_change="append_new_columns",
    indexes=[{"columns": ["account_id", "viewer_number"]}] if target.type == "postgres" else [],
) }}

with
{% if is_incremental() %}
touched_viewers as (
    select account_id, viewer_number
    from {{ ref("int_wistia__sessions") }} as sessions
    where {{ wistia.is_new(ref("int_wistia__sessions"), "viewer_batch") }}
),
{% endif %}

sessions as (
    {% if is_incremental() %}
    {{ wistia.rows_among(
        ref("int_wistia__sessions"),
        {"account_id": "account_id", "viewer_number": "viewer_number"},
        "from touched_viewers",
    ) | indent(4) }}
    {% else %}
    select * from {{ ref("int_wistia__sessions") }} as sessions where not is_anonymous
    {% endif %}
),

ordered as (
    select
        *,
        row_number() over (
            partition by account_id, viewer_key order by received_at desc nulls last, {{ wistia.bytewise("event_key") }} desc
        ) as number_from_last
    from sessions
),

-- the most recent session that says who it was
named as (
    select
        *,
        row_number() over (partition by account_id, viewer_key order by email is null, number_from_last) as email_choice,
        row_number() over (
            partition by account_id, viewer_key
            order by conversion_email is null, number_from_last
        ) as conversion_choice
    from ordered
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
    max(case when number_from_last = 1 then country end) as last_country,
    max(case when number_from_last = 1 then region end) as last_region,
    max(case when number_from_last = 1 then city end) as last_city,
    max(case when number_from_last = 1 then org end) as last_org,
    max(case when number_from_last = 1 then device_class end) as last_device_class,
    max(case when number_from_last = 1 then platform end) as last_platform,
    max(case when number_from_last = 1 then browser end) as last_browser,
    (select max(viewer_batch) from {{ ref("int_wistia__sessions") }} as sessions) as batch
from named
group by account_id, viewer_key, viewer_number
