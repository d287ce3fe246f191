{{ config(
    materialized=wistia.by_part(),
    incremental_strategy="delete+insert",
    unique_key=["account_id", "event_key", "visitor_key"],
    on_schema_change="append_new_columns",
    indexes=[
        {"columns": ["account_id", "event_key", "visitor_key"]},
        {"columns": ["account_id", "viewer_number"]},
        {"columns": ["account_id", "media_id"]},
        {"columns": ["account_id", "session_date"]},
        {"columns": ["load_batch"]},
        {"columns": ["media_batch"]},
        {"columns": ["batch"]},
        {"columns": ["viewer_batch"]},
    ] if target.type == "postgres" else [],
) }}

{%- set event_columns = [
    "account_id", "event_key", "visitor_key", "viewer_key", "viewer_number", "is_anonymous",
    "received_at", "session_date", "wistia_date",
    "media_id", "media_name", "viewed_fraction",
    "email", "is_converted", "conversion_type", "conversion_email", "conversion_first_name", "conversion_last_name",
    "is_new_lead",
    "country", "region", "city", "latitude", "longitude", "org",
    "device_class", "platform", "browser", "browser_version",
    "embed_url", "embed_host", "embed_path", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content",
    "heatmap_url", "_dlt_load_id",
] -%}
{%- set own_columns = [
    "media_type", "media_duration_seconds", "project_id", "project_name", "watched_seconds", "is_completed",
    "session_number", "seconds_since_previous_session", "media_session_number", "is_rewatch", "left_date", "media_batch",
] -%}
{%- set columns = event_columns + own_columns %}
{%- set loads = ref("int_wistia__loads") -%}
{%- set scheme = "^[a-zA-Z][a-zA-Z0-9+.-]*://" %}

with arrived as (
    select
        account_id,
        event_key,
        visitor_key,
        viewer_key,
        {{ wistia.number_of("viewer_key") }} as viewer_number,
        is_anonymous,
        received_at,
        session_date,
        wistia_date,
        media_id,
        media_name,
        viewed_fraction,
        email,
        conversion_type is not null as is_converted,
        conversion_type,
        conversion_email,
        conversion_first_name,
        conversion_last_name,
        is_new_lead,
        country,
        region,
        city,
        latitude,
        longitude,
        org,
        device_class,
        platform,
        browser,
        browser_version,
        embed_url,
        lower({{ wistia.matched("embed_url", scheme ~ "(?:[^/?#]*@)?([^/?#@]*)") }}) as embed_host,
        -- each part that holds an address of a person, encoded or not, is "{email}"
        {{ wistia.replaced(
            wistia.matched("embed_url", scheme ~ "[^/?#]*([^?#]*)"), "[^/]+(@|%(25)*40)[^/]+", "{email}"
        ) }} as embed_path,
        {{ wistia.utm("embed_url", "source") }} as utm_source,
        {{ wistia.utm("embed_url", "medium") }} as utm_medium,
        {{ wistia.utm("embed_url", "campaign") }} as utm_campaign,
        {{ wistia.utm("embed_url", "term") }} as utm_term,
        {{ wistia.utm("embed_url", "content") }} as utm_content,
        heatmap_url,
        _dlt_load_id
    from {{ ref("stg_wistia__events") }} as events
    {% if is_incremental() %}
    where _dlt_load_id in (
        select load_id from {{ loads }} as loads where {{ wistia.is_new(loads, seen="load_batch") }}
    )
    {% endif %}
),

{% if is_incremental() %}
-- a session moves the numbers of all sessions of its viewer
touched as (
    select account_id, viewer_number from arrived
    union
    select sessions.account_id, sessions.viewer_number
    from {{ this }} as sessions
    inner join {{ ref("int_wistia__medias") }} as medias
        on {{ wistia.same(["account_id", "media_id"], "sessions", "medias") }}
    where medias.{{ wistia.is_new(ref("int_wistia__medias"), seen="media_batch") }}
),

known as (
    {{ wistia.rows_among(
        this,
        {"account_id": "account_id", "viewer_number": "viewer_number"},
        "from touched",
    ) | indent(4) }}
),
{% endif %}

events as (
    select {{ event_columns | join(", ") }}
    from arrived
    {% if is_incremental() %}
    union all
    select {{ event_columns | join(", ") }}
    from known
    where not exists (
        select 1 from arrived where {{ wistia.same(["account_id", "event_key", "visitor_key"], "arrived", "known") }}
    )
    {% endif %}
),

numbered as (
    select
        events.*,
        cast(row_number() over viewer as bigint) as number_of_all,
        cast(row_number() over viewer_of_media as bigint) as number_of_media,
        cast(
            round({{ wistia.seconds_between("lag(events.received_at) over viewer", "events.received_at") }}) as bigint
        ) as seconds_since_previous_session
    from events
    window
        viewer as (
            partition by events.account_id, events.viewer_key
            order by events.received_at nulls last, {{ wistia.bytewise("events.event_key") }}
        ),
        viewer_of_media as (
            partition by events.account_id, events.viewer_key, events.media_id
            order by events.received_at nulls last, {{ wistia.bytewise("events.event_key") }}
        )
),

sessions as (
    select
        {% for name in event_columns if name != "media_name" -%}
        numbered.{{ name }},
        {% endfor -%}
        -- a media that was deleted before the first load is known by its sessions alone
        coalesce(medias.media_name, numbered.media_name) as media_name,
        medias.media_type,
        medias.duration_seconds as media_duration_seconds,
        medias.project_id,
        medias.project_name,
        numbered.viewed_fraction * medias.duration_seconds as watched_seconds,
        coalesce(numbered.viewed_fraction >= {{ var("wistia_completed_fraction") }}, false) as is_completed,
        case when not numbered.is_anonymous then numbered.number_of_all end as session_number,
        numbered.seconds_since_previous_session,
        case when not numbered.is_anonymous then numbered.number_of_media end as media_session_number,
        case when not numbered.is_anonymous then numbered.number_of_media > 1 end as is_rewatch,
        {% if is_incremental() -%}
        case
            when known.event_key is not null and known.session_date is distinct from numbered.session_date
                then known.session_date
            else known.left_date
        end as left_date,
        {% else -%}
        cast(null as date) as left_date,
        {% endif -%}
        medias.batch as media_batch
    from numbered
    left join {{ ref("int_wistia__medias") }} as medias
        on {{ wistia.same(["account_id", "media_id"], "numbered", "medias") }}
    {%- if is_incremental() %}
    left join known
        on {{ wistia.same(["account_id", "event_key", "visitor_key"], "numbered", "known") }}
    {%- endif %}
),

changed as (
    select {{ columns | join(", ") }}
    from sessions
    {% if is_incremental() %}
    -- models on top build the days of what has changed, and nothing else
    except
    select {{ columns | join(", ") }}
    from known
    {% endif %}
)

select
    changed.*,
    (select max(batch) from {{ loads }} as loads) as load_batch,
    build.batch,
    case when not changed.is_anonymous then build.batch end as viewer_batch
from changed
cross join (select {{ wistia.next_batch() }} as batch) as build
