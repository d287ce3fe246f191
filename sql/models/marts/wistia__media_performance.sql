with sessions as (
    select
        account_id,
        parent_id as media_id,
        cast(sum(session_count) as bigint) as session_count,
        cast(sum(measured_session_count) as bigint) as measured_session_count,
        cast(sum(completed_session_count) as bigint) as completed_session_count,
        cast(sum(rewatch_count) as bigint) as rewatch_count,
        cast(sum(conversion_count) as bigint) as conversion_count,
        cast(sum(reached_25_count) as bigint) as reached_25_count,
        cast(sum(reached_50_count) as bigint) as reached_50_count,
        cast(sum(reached_75_count) as bigint) as reached_75_count,
        cast(sum(reached_100_count) as bigint) as reached_100_count,
        sum(viewed_fraction_sum) as viewed_fraction_sum,
        sum(watched_hours) as watched_hours
    from {{ ref("int_wistia__session_days") }} as session_days
    where grain = 'media' and parent_id is not null
    group by account_id, parent_id
),

viewers as (
    select account_id, media_id, count(*) as viewer_count
    from {{ ref("int_wistia__media_viewers") }} as media_viewers
    -- sessions without a time are on no day, and so not counted either
    where first_watched_at is not null
    group by account_id, media_id
),

measured as (
    select
        medias.account_id,
        medias.media_id,
        medias.media_name,
        medias.media_type,
        medias.project_id,
        medias.project_name,
        medias.duration_seconds,
        medias.created_at,
        medias.deleted_at,
        stats.load_count,
        stats.play_count,
        stats.hours_watched,
        stats.play_rate,
        stats.engagement_fraction,
        stats.visitor_count,
        coalesce(viewers.viewer_count, 0) as viewer_count,
        coalesce(sessions.session_count, 0) as session_count,
        coalesce(sessions.completed_session_count, 0) as completed_session_count,
        coalesce(sessions.rewatch_count, 0) as rewatch_count,
        coalesce(sessions.conversion_count, 0) as conversion_count,
        coalesce(sessions.reached_25_count, 0) as reached_25_count,
        coalesce(sessions.reached_50_count, 0) as reached_50_count,
        coalesce(sessions.reached_75_count, 0) as reached_75_count,
        coalesce(sessions.reached_100_count, 0) as reached_100_count,
        coalesce(sessions.watched_hours, 0) as watched_hours,
        case when medias.duration_seconds is not null then
            sessions.watched_hours * 3600 / nullif(sessions.measured_session_count, 0)
        end as mean_watched_seconds,
        sessions.viewed_fraction_sum / nullif(sessions.measured_session_count, 0) as mean_viewed_fraction,
        cast(sessions.completed_session_count as {{ wistia.double() }})
            / nullif(sessions.measured_session_count, 0) as completed_fraction,
        cast(sessions.rewatch_count + sessions.conversion_count as {{ wistia.double() }})
            / nullif(sessions.session_count, 0) as interaction_fraction
    from {{ ref("int_wistia__known_medias") }} as medias
    left join {{ ref("stg_wistia__media_stats") }} as stats
        on {{ wistia.same(["account_id", "media_id"], "medias", "stats") }}
    left join sessions
        on {{ wistia.same(["account_id", "media_id"], "medias", "sessions") }}
    left join viewers
        on {{ wistia.same(["account_id", "media_id"], "medias", "viewers") }}
)

select
    account_id,
    media_id,
    media_name,
    media_type,
    project_id,
    project_name,
    duration_seconds,
    created_at,
    deleted_at,
    load_count,
    play_count,
    hours_watched,
    play_rate,
    engagement_fraction,
    visitor_count,
    session_count,
    viewer_count,
    watched_hours,
    mean_watched_seconds,
    mean_viewed_fraction,
    completed_session_count,
    completed_fraction,
    rewatch_count,
    conversion_count,
    reached_25_count,
    reached_50_count,
    reached_75_count,
    reached_100_count,
    case when session_count > 0 then
        4 * coalesce(mean_viewed_fraction, 0)
        + 3 * coalesce(completed_fraction, 0)
        + 2 * least(coalesce(play_rate, 0), 1)
        + least(interaction_fraction, 1)
    end as engagement_score,
    cast(rank() over (partition by account_id order by session_count desc) as bigint) as session_rank
from measured
