select
    actions.account_id,
    actions.media_id,
    medias.media_name,
    actions.position,
    actions.action_type,
    actions.action_text,
    actions.action_url,
    actions.impression_count,
    actions.action_count,
    actions.action_rate,
    cast(actions.action_count as {{ wistia.double() }}) / nullif(actions.impression_count, 0) as action_fraction
from {{ ref("stg_wistia__media_stats__actions") }} as actions
left join {{ ref("stg_wistia__medias") }} as medias
    on {{ wistia.same(["account_id", "media_id"], "actions", "medias") }}
