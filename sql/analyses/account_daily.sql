-- One row per day of the last week: Wistia's own counts beside those of the viewing sessions.
-- by_date days are UTC-5, so sessions are put into UTC-5 days too; the two never agree exactly, because
-- Wistia's play_count knows plays that leave no session.
with sessions as (
    select
        cast(received_at at time zone 'UTC' - interval 5 hour as date) as date,
        count(*) as session_count,
        count(distinct nullif(events.visitor_key, '')) as viewer_count,
        sum(events.percent_viewed * medias.duration) / 3600 as session_hours
    from wistia_raw.events
    left join wistia_raw.medias on medias.media_id = events.media_id and medias.type in ('Video', 'Audio')
    group by 1
)

select
    cast(by_date.date as text) as date,
    by_date.load_count as loads,
    by_date.play_count as plays,
    round(by_date.hours_watched, 1) as hours,
    coalesce(sessions.session_count, 0) as sessions,
    coalesce(sessions.viewer_count, 0) as viewers,
    round(coalesce(sessions.session_hours, 0), 1) as session_hours
from wistia_raw.account_stats_by_date as by_date
left join sessions on sessions.date = by_date.date
order by by_date.date desc
limit 7
