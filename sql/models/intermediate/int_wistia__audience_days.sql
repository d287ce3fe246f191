{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "date"],
    on_schema_change="append_new_columns",
    pre_hook="{{ wistia.forget_left_days(date='left_date') }}",
    indexes=[{"columns": ["account_id", "date"]}, {"columns": ["batch"]}] if target.type == "postgres" else [],
) }}

with
{% if is_incremental() %}
touched_days as (
    {{ wistia.touched_days() | indent(4) }}
),
{% endif %}

sessions as (
    {% if is_incremental() %}
    {{ wistia.rows_among(
        ref("int_wistia__sessions"),
        {"account_id": "account_id", "session_date": "date"},
        "from touched_days",
    ) | indent(4) }}
    {% else %}
    select * from {{ ref("int_wistia__sessions") }} as sessions where session_date is not null
    {% endif %}
)

select
    account_id,
    session_date as date,
    media_id,
    max({{ wistia.bytewise("media_name") }}) as media_name,
    coalesce(country, 'unknown') as country,
    coalesce(device_class, 'unknown') as device_class,
    coalesce(browser, 'unknown') as browser,
    coalesce(platform, 'unknown') as platform,
    count(*) as session_count,
    count(distinct nullif(visitor_key, '')) as viewer_count,
    coalesce(sum(watched_seconds), 0) / 3600 as watched_hours,
    count(case when is_completed then 1 end) as completed_session_count,
    cast(count(case when is_completed then 1 end) as {{ wistia.double() }})
        / nullif(count(viewed_fraction), 0) as completed_fraction,
    avg(viewed_fraction) as mean_viewed_fraction,
    count(case when is_rewatch then 1 end) as rewatch_count,
    count(case when is_converted then 1 end) as conversion_count,
    (select max(batch) from {{ ref("int_wistia__sessions") }} as sessions) as batch
from sessions
where media_id is not null
group by
    account_id,
    session_date,
    media_id,
    coalesce(country, 'unknown'),
    coalesce(device_class, 'unknown'),
    coalesce(browser, 'unknown'),
    coalesce(platform, 'unknown')
