{# What is measured of viewing sessions: names and their SQL. `viewer_count` is of one group and cannot be added up. #}
{% macro measures() -%}
    {{ return({
        "session_count": "count(*)",
        "viewer_count": "count(distinct nullif(visitor_key, ''))",
        "watched_hours": "coalesce(sum(watched_seconds), 0) / 3600",
        "viewed_fraction_sum": "coalesce(sum(viewed_fraction), 0)",
        "measured_session_count": "count(viewed_fraction)",
        "completed_session_count": "count(case when is_completed then 1 end)",
        "completed_fraction":
            "cast(count(case when is_completed then 1 end) as " ~ wistia.double() ~ ") / nullif(count(viewed_fraction), 0)",
        "mean_viewed_fraction": "avg(viewed_fraction)",
        "rewatch_count": "count(case when is_rewatch then 1 end)",
        "conversion_count": "count(case when is_converted then 1 end)",
    }) }}
{%- endmacro %}

{# The measures that can be rolled up further: sums instead of the shares that are made of them. #}
{% macro session_measure_names() -%}
    {{ return(wistia.measures().keys() | reject("in", ["completed_fraction", "mean_viewed_fraction"]) | list) }}
{%- endmacro %}

{# Columns of a rollup of wistia__sessions that others roll up further. #}
{% macro session_measures() -%}
    {% for name in wistia.session_measure_names() -%}
    {{ wistia.measures()[name] }} as {{ name }}{{ "," if not loop.last }}
    {% endfor -%}
{%- endmacro %}

{# Columns of a rollup of wistia__sessions that is a mart. #}
{% macro final_measures() -%}
    {% for name, measure in wistia.measures().items() if name not in ["viewed_fraction_sum", "measured_session_count"] -%}
    {{ measure }} as {{ name }}{{ "," if not loop.last }}
    {% endfor -%}
{%- endmacro %}

{#
    Wistia's own numbers by day or period (the relation `by_date`) beside those of the viewing sessions (`sessions`), with
    one row for each combination of the keys in either of them or in `also`.

    By grouping, not by joining: Postgres thinks that days come by the million, and joins them for seconds.
#}
{% macro side_by_side(keys, by_date, sessions, also=none) -%}
{%- set counted = ["load_count", "play_count", "hours_watched"] -%}
{%- set measured = wistia.session_measure_names() -%}
select
    {{ keys | join(", ") }},
    {% for name in counted -%}
    max({{ name }}) as {{ name }},
    {% endfor -%}
    {% for name in ["session_count", "viewer_count", "watched_hours", "completed_session_count"] -%}
    coalesce(max({{ name }}), 0) as {{ name }},
    {% endfor -%}
    cast(max(completed_session_count) as {{ wistia.double() }}) / nullif(max(measured_session_count), 0)
        as completed_fraction,
    max(viewed_fraction_sum) / nullif(max(measured_session_count), 0) as mean_viewed_fraction,
    coalesce(max(rewatch_count), 0) as rewatch_count,
    coalesce(max(conversion_count), 0) as conversion_count
from (
    select {{ keys | join(", ") }}, {{ counted | join(", ") }}{% for name in measured %}, null as {{ name }}{% endfor %}
    from {{ by_date }} as by_date
    union all
    select {{ keys | join(", ") }}{% for name in counted %}, null as {{ name }}{% endfor %}, {{ measured | join(", ") }}
    from {{ sessions }} as sessions
    {%- if also %}
    union all
    select {{ keys | join(", ") }}{% for name in counted + measured %}, null as {{ name }}{% endfor %}
    from {{ also }}
    {%- endif %}
) as both_sides
group by {{ keys | join(", ") }}
{%- endmacro %}
