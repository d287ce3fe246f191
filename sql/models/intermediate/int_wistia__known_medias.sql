-- a media that was deleted before the first load is known by its sessions alone
with watched as (
    select
        account_id,
        parent_id as media_id,
        max({{ wistia.bytewise("media_name") }}) as media_name
    from {{ ref("int_wistia__session_days") }} as session_days
    where grain = 'media' and parent_id is not null
    group by account_id, parent_id
)

select
    coalesce(medias.account_id, watched.account_id) as account_id,
    coalesce(medias.media_id, watched.media_id) as media_id,
    coalesce(medias.media_name, watched.media_name) as media_name,
    medias.media_type,
    medias.duration_seconds,
    medias.project_id,
    medias.project_name,
    medias.created_at,
    medias.deleted_at
from {{ ref("stg_wistia__medias") }} as medias
full join watched
    on {{ wistia.same(["account_id", "media_id"], "medias", "watched") }}
