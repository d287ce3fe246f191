with by_date as (
    {% for period_type in ["day", "week", "month"] -%}
    select
        account_id,
        '{{ period_type }}' as period_type,
        {{ wistia.period_of(period_type, "date") }} as period_start,
        cast(sum(load_count) as bigint) as load_count,
        cast(sum(play_count) as bigint) as play_count,
        sum(hours_watched) as hours_watched
    from {{ ref("stg_wistia__account_stats_by_date") }} as account_stats_by_date
    group by 1, 2, 3
    {{ "union all" if not loop.last }}
    {% endfor %}
),

sessions as (
    select * from {{ ref("int_wistia__session_periods") }} as session_periods
),

loads as (
    select account_id, max(captured_at) as loaded_at
    from {{ ref("stg_wistia__account_stats") }} as account_stats
    group by account_id
),

periods as (
    select account_id, period_type, period_start from by_date
    union
    select account_id, period_type, period_start from sessions
),

dated as (
    select
        *,
        case period_type
            {% for period_type in ["day", "week", "month"] -%}
            when '{{ period_type }}' then {{ wistia.last_day_of(period_type, "period_start") }}
            {% endfor -%}
        end as last_date
    from periods
)

select
    dated.account_id,
    dated.period_type,
    dated.period_start,
    by_date.load_count,
    by_date.play_count,
    by_date.hours_watched,
    coalesce(sessions.session_count, 0) as session_count,
    coalesce(sessions.viewer_count, 0) as viewer_count,
    coalesce(sessions.watched_hours, 0) as watched_hours,
    coalesce(sessions.completed_session_count, 0) as completed_session_count,
    cast(sessions.completed_session_count as {{ wistia.double() }})
        / nullif(sessions.measured_session_count, 0) as completed_fraction,
    sessions.viewed_fraction_sum / nullif(sessions.measured_session_count, 0) as mean_viewed_fraction,
    coalesce(sessions.rewatch_count, 0) as rewatch_count,
    coalesce(sessions.conversion_count, 0) as conversion_count,
    {{ wistia.is_over("dated.last_date", "loads.loaded_at") }} as is_final
from dated
left join by_date
    on {{ wistia.same(["account_id", "period_type", "period_start"], "dated", "by_date") }}
left join sessions
    on {{ wistia.same(["account_id", "period_type", "period_start"], "dated", "sessions") }}
left join loads
    on dated.account_id = loads.account_id
