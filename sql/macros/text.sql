{# What a pattern's one group matches first, null where it matches nothing or nothing but "". #}
{% macro matched(text, pattern) -%}
    {{ return(adapter.dispatch("matched", "wistia")(text, pattern)) }}
{%- endmacro %}

{% macro default__matched(text, pattern) -%}
    nullif((regexp_match({{ text }}, '{{ pattern }}'))[1], '')
{%- endmacro %}

{% macro duckdb__matched(text, pattern) -%}
    nullif(regexp_extract({{ text }}, '{{ pattern }}', 1), '')
{%- endmacro %}

{% macro spark__matched(text, pattern) -%}
    nullif(regexp_extract({{ text }}, r'{{ pattern }}', 1), '')
{%- endmacro %}

{# A text with something in place of all that a pattern matches. #}
{% macro replaced(text, pattern, by) -%}
    {{ return(adapter.dispatch("replaced", "wistia")(text, pattern, by)) }}
{%- endmacro %}

{% macro default__replaced(text, pattern, by) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ by }}', 'g')
{%- endmacro %}

{% macro spark__replaced(text, pattern, by) -%}
    regexp_replace({{ text }}, r'{{ pattern }}', r'{{ by }}')
{%- endmacro %}

{# An aggregate: the texts, in order, with a space between them. #}
{% macro joined(text, order_by) -%}
    {{ return(adapter.dispatch("joined", "wistia")(text, order_by)) }}
{%- endmacro %}

{% macro default__joined(text, order_by) -%}
    string_agg({{ text }}, ' ' order by {{ order_by }})
{%- endmacro %}

{% macro spark__joined(text, order_by) -%}
    listagg({{ text }}, ' ') within group (order by {{ order_by }})
{%- endmacro %}

{# Files of Windows begin with it. #}
{% macro byte_order_mark() -%}
    {{ return(adapter.dispatch("byte_order_mark", "wistia")()) }}
{%- endmacro %}

{% macro default__byte_order_mark() -%}
    chr(65279)
{%- endmacro %}

{% macro spark__byte_order_mark() -%}
    decode(unhex('EFBBBF'), 'UTF-8')
{%- endmacro %}

{# A text that sorts by its bytes: Postgres has an order of words for each language, and DuckDB has none. #}
{% macro bytewise(text) -%}
    {{ text }}{{ ' collate "C"' if target.type == "postgres" }}
{%- endmacro %}

{# One value of a URL's query, still encoded; null where it looks like an address of a person, encoded or not. #}
{% macro utm(url, name) -%}
{%- set query = "'&' || " ~ wistia.matched(url, "^[^?#]*[?]([^#]*)") -%}
{%- set value = wistia.matched(query, "&utm_" ~ name ~ "=([^&]*)") -%}
    case when {{ wistia.matched(value, "(@|%(?:25)*40)") }} is null then {{ value }} end
{%- endmacro %}

{# A lateral join: the parts between the matches of a pattern, with their position from 0. #}
{% macro split(text, pattern, alias) -%}
    {{ return(adapter.dispatch("split", "wistia")(text, pattern, alias)) }}
{%- endmacro %}

{% macro default__split(text, pattern, alias) -%}
    cross join lateral (
        select
            cast(parts.number - 1 as bigint) as position,
            parts.part
        from regexp_split_to_table({{ text }}, '{{ pattern }}') with ordinality as parts (part, number)
    ) as {{ alias }}
{%- endmacro %}

{% macro spark__split(text, pattern, alias) -%}
    cross join lateral (
        select posexplode(split({{ text }}, r'{{ pattern }}')) as (position, part)
    ) as {{ alias }}
{%- endmacro %}

{% macro duckdb__split(text, pattern, alias) -%}
    cross join lateral (
        select
            unnest(range(cast(len(string_split_regex({{ text }}, '{{ pattern }}')) as bigint))) as position,
            unnest(string_split_regex({{ text }}, '{{ pattern }}')) as part
    ) as {{ alias }}
{%- endmacro %}

{# Plain text of a cue: without the tags and positions of captions, on one line. #}
{% macro without_markup(text) -%}
{%- set tags = "(?i)</?(?:b|i|u|s|c|v|font|lang|ruby|rt|span)(?:[ .][^<>]*)?>" -%}
{%- set ns = namespace(plain=wistia.replaced(wistia.replaced(text, tags, ""), "[{][\\\\][^{}]*[}]", "")) -%}
{%- for entity, character in {
    "&nbsp;": "chr(160)", "&lt;": "'<'", "&gt;": "'>'", "&quot;": "'\"'", "&#39;": "chr(39)", "&apos;": "chr(39)", "&amp;": "'&'",
}.items() -%}
    {%- set ns.plain = "replace(" ~ ns.plain ~ ", '" ~ entity ~ "', " ~ character ~ ")" -%}
{%- endfor -%}
    {{ wistia.replaced("replace(" ~ ns.plain ~ ", chr(160), ' ')", "[ \t\n]+", " ") }}
{%- endmacro %}

{# Seconds of a clock such as 00:01:02.345, 01:02.345 or 01:02. #}
{% macro clock_seconds(clock) -%}
    (
        coalesce(cast({{ wistia.matched(clock, "([0-9]+):[0-9]+:[0-9.]+$") }} as {{ wistia.double() }}), 0) * 3600
        + coalesce(cast({{ wistia.matched(clock, "([0-9]+):[0-9.]+$") }} as {{ wistia.double() }}), 0) * 60
        + cast({{ wistia.matched(clock, "([0-9]+(?:[.][0-9]+)?)$") }} as {{ wistia.double() }})
    )
{%- endmacro %}

{# A number of 60 bits for a long key, the same everywhere: it is joined many times faster. Two keys may share one. #}
{% macro number_of(text) -%}
    {{ return(adapter.dispatch("number_of", "wistia")(text)) }}
{%- endmacro %}

{% macro default__number_of(text) -%}
    cast(cast('x' || left(md5({{ text }}), 15) as bit(60)) as bigint)
{%- endmacro %}

{% macro spark__number_of(text) -%}
    cast(conv(left(md5({{ text }}), 15), 16, 10) as bigint)
{%- endmacro %}

{% macro duckdb__number_of(text) -%}
    cast('0x' || left(md5({{ text }}), 15) as bigint)
{%- endmacro %}
