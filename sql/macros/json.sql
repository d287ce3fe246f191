{# A lateral join: one row (position from 0, element as text) for each element of a JSON array. #}
{% macro json_elements(array, alias) -%}
    {{ return(adapter.dispatch("json_elements", "wistia")(array, alias)) }}
{%- endmacro %}

{% macro default__json_elements(array, alias) -%}
    cross join lateral (
        select
            cast(elements.number - 1 as bigint) as position,
            elements.element
        from jsonb_array_elements_text(cast({{ array }} as jsonb)) with ordinality as elements (element, number)
    ) as {{ alias }}
{%- endmacro %}

{% macro spark__json_elements(array, alias) -%}
    cross join lateral (
        select cast(place as bigint) as position, element
        from (select posexplode(from_json({{ array }}, 'array<string>')) as (place, element)) as elements
    ) as {{ alias }}
{%- endmacro %}

{% macro duckdb__json_elements(array, alias) -%}
    cross join lateral (
        select
            unnest(range(cast(json_array_length({{ array }}) as bigint))) as position,
            unnest(cast({{ array }} as varchar[])) as element
    ) as {{ alias }}
{%- endmacro %}

{# An aggregate: one JSON object of a key and a value for each row, ordered by the key. #}
{% macro json_map(key, value) -%}
    {{ return(adapter.dispatch("json_map", "wistia")(key, value)) }}
{%- endmacro %}

{% macro default__json_map(key, value) -%}
    jsonb_object_agg({{ key }}, {{ value }} order by {{ key }})
{%- endmacro %}

{% macro spark__json_map(key, value) -%}
    to_json(
        map_from_entries(array_sort(collect_list(struct({{ key }}, {{ value }})))), map('ignoreNullFields', 'false')
    )
{%- endmacro %}

{% macro duckdb__json_map(key, value) -%}
    to_json(map_from_entries(list(row({{ key }}, {{ value }}) order by {{ key }})))
{%- endmacro %}

{# An aggregate: one JSON array, ordered; `fields` are names and expressions of the objects in it. #}
{% macro json_list(fields, order_by) -%}
    {{ return(adapter.dispatch("json_list", "wistia")(fields, order_by)) }}
{%- endmacro %}

{% macro default__json_list(fields, order_by) -%}
    jsonb_agg(
        jsonb_build_object({% for name, value in fields.items() %}'{{ name }}', {{ value }}{{ ", " if not loop.last }}{% endfor %})
        order by {{ order_by }}
    )
{%- endmacro %}

{% macro spark__json_list(fields, order_by) -%}
    to_json(
        transform(
            array_sort(collect_list(struct(
                {{ order_by }} as place,
                struct({% for name, value in fields.items() %}{{ value }} as {{ name }}{{ ", " if not loop.last }}{% endfor %}) as element
            ))),
            placed -> placed.element
        ),
        map('ignoreNullFields', 'false')
    )
{%- endmacro %}

{% macro duckdb__json_list(fields, order_by) -%}
    to_json(list(
        {% raw %}{{% endraw %}{% for name, value in fields.items() %}'{{ name }}': {{ value }}{{ ", " if not loop.last }}{% endfor %}{% raw %}}{% endraw %}
        order by {{ order_by }}
    ))
{%- endmacro %}
