with sessions as (
    select
        sessions.account_id,
        sessions.wistia_date as date,
        count(*) as session_count,
        -- Wistia says nothing of medias that were deleted, but counts their plays for the account
        count(case when by_date.media_id is null then 1 end) as unlisted_session_count
    from {{ ref("wistia__sessions") }} as sessions
    left join {{ ref("stg_wistia__media_stats_by_date") }} as by_date
        on sessions.account_id = by_date.account_id
        and sessions.media_id = by_date.media_id
        and sessions.wistia_date = by_date.date
    where sessions.wistia_date is not null
    group by sessions.account_id, sessions.wistia_date
),

medias as (
    select account_id, date, cast(sum(play_count) as bigint) as media_play_count
    from {{ ref("stg_wistia__media_stats_by_date") }} as media_stats_by_date
    group by account_id, date
),

loads as (
    select account_id, max(captured_at) as loaded_at
    from {{ ref("stg_wistia__account_stats") }} as account_stats
    group by account_id
),

days as (
    select account_id, date from sessions
    union
    select account_id, date from medias
    union
    select account_id, date from {{ ref("stg_wistia__account_stats_by_date") }} as account_stats_by_date
),

compared as (
    select
        days.account_id,
        days.date,
        {{ wistia.is_over("days.date", "loads.loaded_at") }} as is_final,
        coalesce(sessions.session_count, 0) as session_count,
        coalesce(sessions.unlisted_session_count, 0) as unlisted_session_count,
        account.play_count,
        medias.media_play_count,
        coalesce(sessions.session_count, 0) - account.play_count as session_difference,
        medias.media_play_count - account.play_count as media_difference,
        cast(coalesce(sessions.session_count, 0) as {{ wistia.double() }}) / nullif(account.play_count, 0)
            as sessions_per_play
    from days
    left join sessions on {{ wistia.same(["account_id", "date"], "days", "sessions") }}
    left join medias on {{ wistia.same(["account_id", "date"], "days", "medias") }}
    left join {{ ref("stg_wistia__account_stats_by_date") }} as account
        on {{ wistia.same(["account_id", "date"], "days", "account") }}
    left join loads on days.account_id = loads.account_id
)

select
    *,
    case
        when play_count is null then 'no account total'
        when not is_final then 'not over'
        when session_count < {{ var("wistia_sessions_per_play_low") }} * play_count - {{ var("wistia_sessions_tolerance") }}
            then 'sessions missing'
        when session_count > {{ var("wistia_sessions_per_play_high") }} * play_count + {{ var("wistia_sessions_tolerance") }}
            then 'more sessions than plays'
        when media_difference > 0
            or -media_difference * {{ var("wistia_sessions_per_play_low") }}
            > unlisted_session_count + {{ var("wistia_sessions_tolerance") }} then 'medias differ from account'
        else 'ok'
    end as verdict
from compared
