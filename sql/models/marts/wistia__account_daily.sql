with by_date as (
    select * from {{ ref("stg_wistia__account_stats_by_date") }} as account_stats_by_date
),

sessions as (
    select
        account_id,
        date,
        session_count,
        viewer_count,
        watched_hours,
        viewed_fraction_sum,
        measured_session_count,
        completed_session_count,
        rewatch_count,
        conversion_count
    from {{ ref("int_wistia__session_days") }} as session_days
    where grain = 'account'
),

loads as (
    select account_id, max(captured_at) as loaded_at
    from {{ ref("stg_wistia__account_stats") }} as account_stats
    group by account_id
),

spans as (
    select account_id, min(date) as first_date, max(date) as last_date
    from (
        select account_id, date from by_date
        union all
        select account_id, date from sessions
    ) as known_days
    group by account_id
),

-- grouped below, not joined: Postgres expects millions of days, and a filter on the date reaches both sides this way
both_sides as (
    select
        account_id, date,
        load_count, play_count, hours_watched,
        null as session_count, null as viewer_count, null as watched_hours,
        null as viewed_fraction_sum, null as measured_session_count, null as completed_session_count,
        null as rewatch_count, null as conversion_count
    from by_date
    union all
    select
        account_id, date,
        null, null, null,
        session_count, viewer_count, watched_hours,
        viewed_fraction_sum, measured_session_count, completed_session_count,
        rewatch_count, conversion_count
    from sessions
    union all
    -- no day between the first and the last is missing
    select
        spans.account_id, calendar.date,
        null, null, null,
        null, null, null,
        null, null, null,
        null, null
    from spans
    {{ wistia.each_day("spans.first_date", "spans.last_date", "calendar") }}
),

days as (
    select
        account_id,
        date,
        max(load_count) as load_count,
        max(play_count) as play_count,
        max(hours_watched) as hours_watched,
        coalesce(max(session_count), 0) as session_count,
        coalesce(max(viewer_count), 0) as viewer_count,
        coalesce(max(watched_hours), 0) as watched_hours,
        coalesce(max(completed_session_count), 0) as completed_session_count,
        cast(max(completed_session_count) as {{ wistia.double() }})
            / nullif(max(measured_session_count), 0) as completed_fraction,
        max(viewed_fraction_sum) / nullif(max(measured_session_count), 0) as mean_viewed_fraction,
        coalesce(max(rewatch_count), 0) as rewatch_count,
        coalesce(max(conversion_count), 0) as conversion_count
    from both_sides
    group by account_id, date
)

select
    days.*,
    {{ wistia.is_over("days.date", "loads.loaded_at") }} as is_final
from days
left join loads
    on days.account_id = loads.account_id
