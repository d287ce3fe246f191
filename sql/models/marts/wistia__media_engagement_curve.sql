with views as (
    select engagement.account_id, engagement.media_id, cells.position, cast(cells.element as {{ wistia.double() }}) as view_count
    from {{ ref("stg_wistia__media_engagement") }} as engagement
    {{ wistia.json_elements("engagement.engagement_data", "cells") }}
),

rewatches as (
    select engagement.account_id, engagement.media_id, cells.position, cast(cells.element as {{ wistia.double() }}) as rewatch_count
    from {{ ref("stg_wistia__media_engagement") }} as engagement
    {{ wistia.json_elements("engagement.rewatch_data", "cells") }}
),

curves as (
    select
        *,
        count(*) over (partition by account_id, media_id) as cell_count,
        first_value(view_count) over (partition by account_id, media_id order by position) as start_count
    from views
)

select
    curves.account_id,
    curves.media_id,
    medias.media_name,
    curves.position,
    -- one cell a second, but never more than 1,000 cells: those of longer medias are longer
    case when medias.duration_seconds > 1000
        then curves.position * medias.duration_seconds / curves.cell_count
        else cast(curves.position as {{ wistia.double() }})
    end as start_seconds,
    case when medias.duration_seconds > 1000
        then medias.duration_seconds / curves.cell_count
        else cast(1 as {{ wistia.double() }})
    end as cell_seconds,
    cast(curves.view_count as bigint) as view_count,
    cast(coalesce(rewatches.rewatch_count, 0) as bigint) as rewatch_count,
    curves.view_count / nullif(curves.start_count, 0) as retained_fraction
from curves
left join rewatches
    on {{ wistia.same(["account_id", "media_id", "position"], "curves", "rewatches") }}
left join {{ ref("stg_wistia__medias") }} as medias
    on {{ wistia.same(["account_id", "media_id"], "curves", "medias") }}
