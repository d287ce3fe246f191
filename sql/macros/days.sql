{# The day of a moment in the time zone of the var wistia_timezone. The session of Spark must be in UTC. #}
{% macro day_of(moment) -%}
    {{ return(adapter.dispatch("day_of", "wistia")(moment)) }}
{%- endmacro %}

{% macro default__day_of(moment) -%}
    cast({{ moment }} at time zone '{{ var("wistia_timezone") }}' as date)
{%- endmacro %}

{% macro spark__day_of(moment) -%}
    cast(from_utc_timestamp({{ moment }}, '{{ var("wistia_timezone") }}') as date)
{%- endmacro %}

{# The day of a moment as Wistia's by_date numbers count: UTC-5 all year, as recordings show. #}
{% macro wistia_day_of(moment) -%}
    {{ return(adapter.dispatch("wistia_day_of", "wistia")(moment)) }}
{%- endmacro %}

{% macro default__wistia_day_of(moment) -%}
    cast({{ moment }} at time zone 'UTC' - interval '5 hours' as date)
{%- endmacro %}

{% macro spark__wistia_day_of(moment) -%}
    cast({{ moment }} - interval '5 hours' as date)
{%- endmacro %}

{# The last day of the week, month or day that begins with a day. #}
{% macro last_day_of(period_type, start) -%}
    cast({{ start }} + interval '1 {{ period_type }}' - interval '1 day' as date)
{%- endmacro %}

{# The first day of the day's week (Monday), month or day itself. #}
{% macro period_of(period_type, day) -%}
    cast(date_trunc('{{ period_type }}', cast({{ day }} as timestamp)) as date)
{%- endmacro %}

{# A lateral join: one row with the column `date` for each day from the first to the last. #}
{% macro each_day(first, last, alias) -%}
    {{ return(adapter.dispatch("each_day", "wistia")(first, last, alias)) }}
{%- endmacro %}

{% macro default__each_day(first, last, alias) -%}
    cross join lateral (
        select cast(day as date) as date
        from generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval '1 day') as days (day)
    ) as {{ alias }}
{%- endmacro %}

{% macro spark__each_day(first, last, alias) -%}
    cross join lateral (select explode(sequence({{ first }}, {{ last }})) as date) as {{ alias }}
{%- endmacro %}

{% macro duckdb__each_day(first, last, alias) -%}
    cross join lateral (
        select cast(unnest(generate_series(
            cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval 1 day
        )) as date) as date
    ) as {{ alias }}
{%- endmacro %}

{# The seconds between two moments, with a fraction. #}
{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch("seconds_between", "wistia")(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    extract(epoch from {{ later }}) - extract(epoch from {{ earlier }})
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    (unix_micros({{ later }}) - unix_micros({{ earlier }})) / 1e6
{%- endmacro %}

{# Whether a day was over, by Wistia's clock and by that of the sessions, when its account was last loaded. #}
{% macro is_over(day, loaded_at) -%}
    coalesce({{ day }} < {{ wistia.wistia_day_of(loaded_at) }} and {{ day }} < {{ wistia.day_of(loaded_at) }}, false)
{%- endmacro %}
