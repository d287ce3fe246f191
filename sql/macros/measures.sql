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
