with medias as (
    select
        *,
        row_number() over (
            partition by account_id, project_id order by engagement_score desc, session_count desc, {{ wistia.bytewise("media_id") }}
        ) as place
    from {{ ref("wistia__media_performance") }} as media_performance
    where project_id is not null and session_count > 0
),

distributions as (
    select
        account_id,
        project_id,
        count(*) as watched_media_count,
        cast(sum(session_count) as bigint) as session_count,
        sum(watched_hours) as watched_hours,
        min(completed_fraction) as completed_fraction_min,
        percentile_cont(0.25) within group (order by completed_fraction) as completed_fraction_quartile_1,
        percentile_cont(0.5) within group (order by completed_fraction) as completed_fraction_median,
        percentile_cont(0.75) within group (order by completed_fraction) as completed_fraction_quartile_3,
        max(completed_fraction) as completed_fraction_max,
        min(engagement_score) as engagement_score_min,
        percentile_cont(0.25) within group (order by engagement_score) as engagement_score_quartile_1,
        percentile_cont(0.5) within group (order by engagement_score) as engagement_score_median,
        percentile_cont(0.75) within group (order by engagement_score) as engagement_score_quartile_3,
        max(engagement_score) as engagement_score_max,
        min(watched_hours) as watched_hours_min,
        percentile_cont(0.25) within group (order by watched_hours) as watched_hours_quartile_1,
        percentile_cont(0.5) within group (order by watched_hours) as watched_hours_median,
        percentile_cont(0.75) within group (order by watched_hours) as watched_hours_quartile_3,
        max(watched_hours) as watched_hours_max
    from medias
    group by account_id, project_id
),

best as (
    select
        account_id,
        project_id,
        {{ wistia.json_list(
            {"media_id": "media_id", "media_name": "media_name", "engagement_score": "engagement_score"}, "place"
        ) }} as best_medias
    from medias
    where place <= 5
    group by account_id, project_id
)

select
    projects.account_id,
    projects.project_id,
    projects.project_name,
    projects.deleted_at,
    projects.media_count,
    stats.load_count,
    stats.play_count,
    stats.hours_watched,
    coalesce(distributions.watched_media_count, 0) as watched_media_count,
    coalesce(distributions.session_count, 0) as session_count,
    coalesce(distributions.watched_hours, 0) as watched_hours,
    distributions.completed_fraction_min,
    distributions.completed_fraction_quartile_1,
    distributions.completed_fraction_median,
    distributions.completed_fraction_quartile_3,
    distributions.completed_fraction_max,
    distributions.engagement_score_min,
    distributions.engagement_score_quartile_1,
    distributions.engagement_score_median,
    distributions.engagement_score_quartile_3,
    distributions.engagement_score_max,
    distributions.watched_hours_min,
    distributions.watched_hours_quartile_1,
    distributions.watched_hours_median,
    distributions.watched_hours_quartile_3,
    distributions.watched_hours_max,
    best.best_medias
from {{ ref("stg_wistia__projects") }} as projects
left join {{ ref("stg_wistia__project_stats") }} as stats
    on {{ wistia.same(["account_id", "project_id"], "projects", "stats") }}
left join distributions
    on {{ wistia.same(["account_id", "project_id"], "projects", "distributions") }}
left join best
    on {{ wistia.same(["account_id", "project_id"], "projects", "best") }}
