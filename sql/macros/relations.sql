{#
    On DuckDB relations are named without the target's database, which is called as its file is: views go on to work when
    the file is renamed, copied or attached under another name. Where it is called as the schema is, DuckDB asks for both.

    `dbt build --empty` makes queries of relations, and for Postgres gives each a name: ours have one already, except in
    generic tests.
#}

{% macro ref() -%}
    {{ return(wistia.as_named(builtins.ref(*varargs, **kwargs))) }}
{%- endmacro %}

{% macro source() -%}
    {{ return(wistia.as_named(builtins.source(*varargs, **kwargs))) }}
{%- endmacro %}

{% macro as_named(relation) -%}
    {%- if target.type == "duckdb" and target.path != ":memory:" and relation.database == target.database and relation.database != relation.schema -%}
        {%- set relation = relation.include(database=false) -%}
    {%- endif -%}
    {%- if relation.limit is not none and not model.test_metadata -%}
        {%- set relation = relation.replace(require_alias=false) -%}
    {%- endif -%}
    {{ return(relation) }}
{%- endmacro %}
