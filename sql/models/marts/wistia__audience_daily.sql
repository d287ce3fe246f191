{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "date"],
    on_schema_change="append_new_columns",
    pre_hook="{{ wistia.forget_left_days([{'date': 'left_date'}]) }}",
    indexes=[{"columns": ["account_id", "date"]}, {"columns": ["batch"]}] if target.type == "postgres" else [],
) }}

{%- set dimensions = ["country", "device_class", "browser", "platform"] %}

with sessions as (
    select *
    from {{ wistia.sessions_of_days() }} as sessions
    where media_id is not null
)

select
    account_id,
    session_date as date,
    media_id,
    max({{ wistia.bytewise("media_name") }}) as media_name,
    {% for name in dimensions -%}
    coalesce({{ name }}, 'unknown') as {{ name }},
    {% endfor -%}
    {{ wistia.final_measures() }},
    (select max(batch) from {{ ref("wistia__sessions") }} as sessions) as batch
from sessions
group by
    account_id,
    session_date,
    media_id,
    {% for name in dimensions -%}
    coalesce({{ name }}, 'unknown'){{ "," if not loop.last }}
    {% endfor %}
