{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "media_id"],
    on_schema_change="append_new_columns",
) }}

with medias as (
    select
        account_id,
        media_id,
        media_name,
        media_type,
        duration_seconds,
        project_id,
        project_name
    from {{ ref("stg_wistia__medias") }} as medias
    {% if is_incremental() %}
    -- Wistia touches all medias now and then, and changes nothing that matters here
    except
    select account_id, media_id, media_name, media_type, duration_seconds, project_id, project_name
    from {{ this }}
    {% endif %}
)

select
    medias.*,
    {{ wistia.next_batch() }} as batch
from medias
