{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "period_type", "period_start"],
    on_schema_change="append_new_columns",
    pre_hook=[
        "{{ wistia.forget_left_days(period_type=\"'day'\", period_start='left_date') }}",
        "{{ wistia.forget_left_days(period_type=\"'week'\", period_start=wistia.period_of('week', 'left_date')) }}",
        "{{ wistia.forget_left_days(period_type=\"'month'\", period_start=wistia.period_of('month', 'left_date')) }}",
    ],
) }}

{%- set period_types = ["day", "week", "month"] %}

with
{% if is_incremental() %}
touched_days as (
    {{ wistia.touched_days() | indent(4) }}
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
            ref("int_wistia__sessions"),
            {"account_id": "account_id", "session_date": "date"},
            "from days_of_touched_" ~ period_type ~ "s",
        ) }})
        {%- else %}
        {{ ref("int_wistia__sessions") }}
        {%- endif %} as sessions
    where sessions.session_date is not null
    {{ "union all" if not loop.last }}
    {% endfor %}
)

select
    account_id,
    period_type,
    period_start,
    count(*) as session_count,
    count(distinct nullif(visitor_key, '')) as viewer_count,
    coalesce(sum(watched_seconds), 0) / 3600 as watched_hours,
    coalesce(sum(viewed_fraction), 0) as viewed_fraction_sum,
    count(viewed_fraction) as measured_session_count,
    count(case when is_completed then 1 end) as completed_session_count,
    count(case when is_rewatch then 1 end) as rewatch_count,
    count(case when is_converted then 1 end) as conversion_count,
    (select max(batch) from {{ ref("int_wistia__sessions") }} as sessions) as batch
from sessions
group by account_id, period_type, period_start
