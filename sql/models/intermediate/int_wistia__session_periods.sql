{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "period_type", "period_start"],
    on_schema_change="append_new_columns",
    pre_hook="{{ wistia.forget_left_days(wistia.left_periods()) }}",
) }}

{%- set period_types = wistia.period_types() %}

with
{% if is_incremental() %}
touched_days as (
    select * from {{ wistia.touched_days() }} as touched_days
),

{% for period_type in period_types -%}
days_of_touched_{{ period_type }}s as (
    select periods.account_id, calendar.date
    from (
        select distinct account_id, {{ wistia.period_of(period_type, "date") }} as period_start
        from touched_days
    ) as periods
    {{ wistia.each_day(
        "periods.period_start",
        wistia.last_day_of(period_type, "periods.period_start"),
        "calendar",
    ) }}
),

{% endfor %}
{%- endif -%}
sessions as (
    {% for period_type in period_types -%}
    select
        sessions.*,
        '{{ period_type }}' as period_type,
        {{ wistia.period_of(period_type, "sessions.session_date") }} as period_start
    from
        {%- if is_incremental() %}
        ({{ wistia.rows_among(
            ref("wistia__sessions"),
            {"account_id": "account_id", "session_date": "date"},
            "from days_of_touched_" ~ period_type ~ "s",
        ) }})
        {%- else %}
        {{ ref("wistia__sessions") }}
        {%- endif %} as sessions
    where sessions.session_date is not null
    {{ "union all" if not loop.last }}
    {% endfor %}
)

select
    account_id,
    period_type,
    period_start,
    {{ wistia.session_measures() }},
    (select max(batch) from {{ ref("wistia__sessions") }} as sessions) as batch
from sessions
group by account_id, period_type, period_start
