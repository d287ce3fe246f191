-- Sessions add up to the same at every grain. One row for each account and mart that differs.
{%- set marts = {
    ref("stg_wistia__events"): ("1", "true"),
    ref("wistia__account_daily"): ("session_count", "session_date is not null"),
    ref("wistia__media_daily"): ("session_count", "session_date is not null and media_id is not null"),
    ref("wistia__audience_daily"): ("session_count", "session_date is not null and media_id is not null"),
    ref("wistia__media_performance"): ("session_count", "session_date is not null and media_id is not null"),
    ref("wistia__embed_pages"): ("session_count", "media_id is not null"),
    ref("wistia__viewers"): ("session_count", "not is_anonymous"),
    ref("wistia__project_daily"): ("session_count", "session_date is not null and project_id is not null"),
} %}

with counted as (
    {% for mart, (measure, sessions) in marts.items() -%}
    select '{{ mart.identifier }}' as mart, account_id, sum({{ measure }}) as counted, 0 as wanted
    from {{ mart }} as mart
    group by account_id
    union all
    select '{{ mart.identifier }}', account_id, 0, count(*)
    from {{ ref("wistia__sessions") }} as sessions
    where {{ sessions }}
    group by account_id
    union all
    {% endfor -%}
    {% for period_type in ["day", "week", "month"] -%}
    select 'wistia__account_periods ({{ period_type }})', account_id, sum(session_count), 0
    from {{ ref("wistia__account_periods") }} as account_periods
    where period_type = '{{ period_type }}'
    group by account_id
    union all
    select 'wistia__account_periods ({{ period_type }})', account_id, 0, count(*)
    from {{ ref("wistia__sessions") }} as sessions
    where session_date is not null
    group by account_id
    {{ "union all" if not loop.last }}
    {% endfor %}
)

select mart, account_id, sum(counted) as session_count, sum(wanted) as wanted_session_count
from counted
group by mart, account_id
having sum(counted) is distinct from sum(wanted)
