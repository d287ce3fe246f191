{#
    One row per day between the first and the last known of an account, project or media (`grain`): Wistia's own numbers
    (the relation `by_date`) beside those of the viewing sessions. `names` are columns of the relation `parents` to add.
#}
{% macro daily(grain, by_date, parents=none, names=[]) -%}
{%- set keys = ["account_id"] if grain == "account" else ["account_id", grain ~ "_id"] -%}
with sessions as (
    select
        session_days.*
        {%- if grain != "account" %},
        parent_id as {{ grain }}_id
        {%- endif %}
    from {{ ref("int_wistia__session_days") }} as session_days
    where grain = '{{ grain }}'{{ " and parent_id is not null" if grain != "account" }}
),

by_date as (
    select * from {{ by_date }} as by_date
),

spans as (
    select {{ keys | join(", ") }}, min(date) as first_date, max(date) as last_date
    from (
        select {{ keys | join(", ") }}, date from sessions
        union all
        select {{ keys | join(", ") }}, date from by_date
    ) as known
    group by {{ keys | join(", ") }}
),

days as (
    select spans.*, calendar.date
    from spans
    {{ wistia.each_day("spans.first_date", "spans.last_date", "calendar") }}
),

rolled_up as (
    {{ wistia.side_by_side(keys + ["date"], "by_date", "sessions", "days") | indent(4) }}
)

select
    rolled_up.*,
    {% for name in names -%}
    parents.{{ name }},
    {% endfor -%}
    -- the days of by_date are UTC-5
    {{ wistia.is_over("rolled_up.date") }} as is_final
from rolled_up
{{ wistia.join_last_loads("rolled_up") }}
{%- if parents %}
left join {{ parents }} as parents
    on {{ wistia.same(keys, "rolled_up", "parents") }}
{%- endif %}
{%- endmacro %}

{# A join condition: the columns of two relations are equal. #}
{% macro same(columns, one, other) -%}
    {% for column in columns -%}
    {{ one }}.{{ column }} = {{ other }}.{{ column }}{{ " and " if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# A join: `loads` says of the account of each row of a relation when it was last loaded. #}
{% macro join_last_loads(relation) -%}
left join (
    select account_id, max(captured_at) as loaded_at
    from {{ ref("stg_wistia__account_stats") }} as account_stats
    group by account_id
) as loads
    on {{ relation }}.account_id = loads.account_id
{%- endmacro %}

{# Whether a day was over, by Wistia's clock and by that of the sessions, when its account was last loaded. #}
{% macro is_over(day) -%}
    coalesce(
        {{ day }} < {{ wistia.wistia_day_of("loads.loaded_at") }} and {{ day }} < {{ wistia.day_of("loads.loaded_at") }},
        false
    )
{%- endmacro %}
