{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="append",
    on_schema_change="append_new_columns",
) }}

-- most loads of a quiet account bring no session: asked of the sessions, they would be new for ever
select
    loads.load_id,
    {{ wistia.next_batch() }} as batch
from {{ source("wistia", "_dlt_loads") }} as loads
{% if is_incremental() %}
where not exists (select 1 from {{ this }} as known where known.load_id = loads.load_id)
{% endif %}
