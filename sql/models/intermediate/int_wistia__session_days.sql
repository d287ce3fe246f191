{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "date"],
    on_schema_change="append_new_columns",
    pre_hook="{{ wistia.forget_left_days(date='left_date') }}",
    indexes=[{"columns": ["account_id", "date"]}, {"columns": ["grain", "account_id", "parent_id"]}]
        if target.type == "postgres" else [],
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
    case
        when grouping(media_id) = 0 then 'media'
        when grouping(project_id) = 0 then 'project'
        else 'account'
    end as grain,
    case when grouping(media_id) = 0 then media_id when grouping(project_id) = 0 then project_id end as parent_id,
    case when grouping(media_id) = 0 then max({{ wistia.bytewise("media_name") }}) end as media_name,
    count(*) as session_count,
    count(distinct nullif(visitor_key, '')) as viewer_count,
    coalesce(sum(watched_seconds), 0) / 3600 as watched_hours,
    coalesce(sum(viewed_fraction), 0) as viewed_fraction_sum,
    count(viewed_fraction) as measured_session_count,
    count(case when is_completed then 1 end) as completed_session_count,
    count(case when is_rewatch then 1 end) as rewatch_count,
    count(case when is_converted then 1 end) as conversion_count,
    count(case when viewed_fraction >= 0.25 then 1 end) as reached_25_count,
    count(case when viewed_fraction >= 0.5 then 1 end) as reached_50_count,
    count(case when viewed_fraction >= 0.75 then 1 end) as reached_75_count,
    count(case when viewed_fraction >= 1.0 then 1 end) as reached_100_count,
    (select max(batch) from {{ ref("int_wistia__sessions") }} as sessions) as batch
from sessions
group by grouping sets (
    (account_id, session_date),
    (account_id, session_date, project_id),
    (account_id, session_date, media_id)
)
