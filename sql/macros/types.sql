{# A number with a fraction, of 64 bits. #}
{% macro double() -%}
    {{ return("double" if target.type == "spark" else "double precision") }}
{%- endmacro %}
