{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "viewer_number"],
    on_schema_change="append_new_columns",
    indexes=[{"columns": ["account_id", "viewer_number"]}, {"columns": ["account_id", "media_id"]}]
        if target.type == "postgres" else [],
) }}

with
{% if is_incremental() %}
touched_viewers as (
    select account_id, viewer_number
    from {{ ref("int_wistia__sessions") }} as sessions
    where {{ wistia.is_new(ref("int_wistia__sessions"), "viewer_batch") }}
),
{% endif %}

sessions as (
    {% if is_incremental() %}
    {{ wistia.rows_among(
        ref("int_wistia__sessions"),
        {"account_id": "account_id", "viewer_number": "viewer_number"},
        "from touched_viewers",
    ) | indent(4) }}
    {% else %}
    select * from {{ ref("int_wistia__sessions") }} as sessions where not is_anonymous
    {% endif %}
)

select
    account_id,
    viewer_key,
    viewer_number,
    media_id,
    max({{ wistia.bytewise("media_name") }}) as media_name,
    count(*) as session_count,
    min(received_at) as first_watched_at,
    max(received_at) as last_watched_at,
    sum(viewed_fraction) as viewed_fraction_sum,
    count(viewed_fraction) as measured_session_count,
    max(viewed_fraction) as best_viewed_fraction,
    sum(watched_seconds) as watched_seconds,
    min(case when viewed_fraction >= {{ var("wistia_lead_fraction") }} then received_at end) as qualified_at,
    (select max(viewer_batch) from {{ ref("int_wistia__sessions") }} as sessions) as batch
from sessions
group by account_id, viewer_key, viewer_number, media_id
