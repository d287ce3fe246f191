{%- set page = ["embed_host", "embed_path", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"] -%}

select
    account_id,
    media_id,
    max({{ wistia.bytewise("media_name") }}) as media_name,
    {% for name in page -%}
    {{ name }},
    {% endfor -%}
    min(received_at) as first_session_at,
    max(received_at) as last_session_at,
    {{ wistia.final_measures() }}
from {{ ref("wistia__sessions") }} as sessions
where media_id is not null
group by account_id, media_id, {{ page | join(", ") }}
