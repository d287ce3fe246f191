{%- set figures = ["completed_fraction", "engagement_score", "watched_hours"] -%}

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
        {% for figure in figures -%}
        min({{ figure }}) as {{ figure }}_min,
        {% for name, share in {"quartile_1": 0.25, "median": 0.5, "quartile_3": 0.75}.items() -%}
        percentile_cont({{ share }}) within group (order by {{ figure }}) as {{ figure }}_{{ name }},
        {% endfor -%}
        max({{ figure }}) as {{ figure }}_max{{ "," if not loop.last }}
        {% endfor %}
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
    {% for figure in figures -%}
    {% for name in ["min", "quartile_1", "median", "quartile_3", "max"] -%}
    distributions.{{ figure }}_{{ name }},
    {% endfor -%}
    {% endfor -%}
    best.best_medias
from {{ ref("stg_wistia__projects") }} as projects
left join {{ ref("stg_wistia__project_stats") }} as stats
    on {{ wistia.same(["account_id", "project_id"], "projects", "stats") }}
left join distributions
    on {{ wistia.same(["account_id", "project_id"], "projects", "distributions") }}
left join best
    on {{ wistia.same(["account_id", "project_id"], "projects", "best") }}
