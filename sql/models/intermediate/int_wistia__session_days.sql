{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "date"],
    on_schema_change="append_new_columns",
    pre_hook="{{ wistia.forget_left_days([{'date': 'left_date'}]) }}",
    indexes=[{"columns": ["account_id", "date"]}, {"columns": ["grain", "account_id", "parent_id"]}]
        if target.type == "postgres" else [],
) }}

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
    {{ wistia.session_measures() }},
    {% for percent in [25, 50, 75, 100] -%}
    count(case when viewed_fraction >= {{ percent / 100 }} then 1 end) as reached_{{ percent }}_count,
    {% endfor -%}
    (select max(batch) from {{ ref("wistia__sessions") }} as sessions) as batch
from {{ wistia.sessions_of_days() }} as sessions
group by grouping sets (
    (account_id, session_date),
    (account_id, session_date, project_id),
    (account_id, session_date, media_id)
)
