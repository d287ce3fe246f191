{# A join condition: the columns of two relations are equal. #}
{% macro same(columns, one, other) -%}
    {% for column in columns -%}
    {{ one }}.{{ column }} = {{ other }}.{{ column }}{{ " and " if not loop.last }}
    {%- endfor %}
{%- endmacro %}
