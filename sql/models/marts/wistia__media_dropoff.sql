with curve as (
    select
        *,
        lag(retained_fraction) over (partition by account_id, media_id order by position) - retained_fraction
            as lost_fraction,
        cast(rewatch_count as {{ wistia.double() }}) / nullif(view_count, 0) as rewatch_fraction
    from {{ ref("wistia__media_engagement_curve") }} as media_engagement_curve
),

ranked as (
    select
        *,
        'loss' as kind,
        row_number() over (partition by account_id, media_id order by lost_fraction desc, position) as place
    from curve
    where lost_fraction > 0
    union all
    select
        *,
        'rewatch' as kind,
        row_number() over (partition by account_id, media_id order by rewatch_fraction desc, position) as place
    from curve
    where rewatch_fraction > 0
)

select
    account_id,
    media_id,
    media_name,
    kind,
    cast(place as bigint) as dropoff_rank,
    position,
    start_seconds,
    cell_seconds,
    case when kind = 'loss' then lost_fraction end as lost_fraction,
    case when kind = 'rewatch' then rewatch_fraction end as rewatch_fraction,
    retained_fraction
from ranked
where place <= {{ var("wistia_dropoff_ranks") }}
