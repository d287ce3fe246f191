{#
    Incremental models build what is new, and nothing else. Rows of int_wistia__sessions carry the number of the build
    that last changed them, their batch; models on top hold the highest batch that they have seen. A number and not a
    time: clocks of two machines differ. Public marts have none of this.
#}

{# The materialization of models that build what is new. Spark's Parquet tables cannot change rows: it rebuilds all. #}
{% macro by_part() -%}
    {{ return("table" if target.type == "spark" else "incremental") }}
{%- endmacro %}

{# The number of this build of a model whose rows carry batches. A full refresh counts on: models on top must see it. #}
{% macro next_batch() -%}
    {%- set built = this if is_incremental() else (load_relation(this) if execute and this else none) -%}
    {%- if built -%}
        (select coalesce(max(batch), 0) + 1 from {{ built }})
    {%- else -%}
        cast(1 as bigint)
    {%- endif -%}
{%- endmacro %}

{#
    Where in an incremental build: the batch of the row of the source model, its `column`, is new to this one, which has it
    in `seen`.
#}
{% macro is_new(source, column="batch", seen="batch") -%}
    {%- set query -%}
        select case when mine.batch <= theirs.batch then mine.batch else 0 end
        from (select coalesce(max({{ seen }}), 0) as batch from {{ this }}) as mine
        cross join (select coalesce(max({{ column }}), 0) as batch from {{ source }} as seen) as theirs
    {%- endset -%}
    {{ column }} > {{ wistia.asked(query) }}
{%- endmacro %}

{# In an incremental build: the days of sessions that are new to this model, and those that they have left. #}
{% macro touched_days() -%}
{%- set sessions = ref("int_wistia__sessions") -%}
{% for column in ["session_date", "left_date"] -%}
select account_id, {{ column }} as date
from {{ sessions }} as sessions
where {{ column }} is not null and {{ wistia.is_new(sessions) }}
{{ "union" if not loop.last }}
{% endfor -%}
{%- endmacro %}

{#
    A hook before an incremental build: deletes the rows of days that sessions have left, as nothing would replace them
    where these sessions were the only ones. The arguments are columns of this model, each an expression over `left_date`.
#}
{% macro forget_left_days() -%}
{%- if is_incremental() -%}
{%- set sessions = ref("int_wistia__sessions") -%}
    delete from {{ this }}
    where (account_id, {{ kwargs | join(", ") }}) in (
        select account_id, {{ kwargs.values() | join(", ") }}
        from {{ sessions }} as sessions
        where left_date is not null and {{ wistia.is_new(sessions) }}
    )
{%- endif -%}
{%- endmacro %}

{#
    The rows of a relation of which some columns have values that are together in a row of `source`, a from clause;
    `columns` are theirs and their names there.
#}
{% macro rows_among(relation, columns, source) -%}
    {{ return(adapter.dispatch("rows_among", "wistia")(relation, columns, source)) }}
{%- endmacro %}

{#
    Postgres takes `in` for half of the table, and reads all. It looks at each column by itself: where several accounts
    share a warehouse that may be a few rows more, which are then built as they were.
#}
{% macro default__rows_among(relation, columns, source) -%}
    select *
    from {{ relation }} as candidates
    where
        {% for column, name in columns.items() -%}
        {{ column }} = any(array(select {{ name }} {{ source }})){{ " and " if not loop.last }}
        {% endfor -%}
{%- endmacro %}

{# DuckDB reads all columns of all rows, unless it knows the numbers of the rows. #}
{% macro duckdb__rows_among(relation, columns, source) -%}
    {%- set condition -%}
        ({{ columns | join(", ") }}) in (select {{ columns.values() | join(", ") }} {{ source }})
    {%- endset -%}
    select *
    from {{ relation }} as candidates
    where
    {%- if "__dbt__cte__" in relation | string or relation.limit is not none %} {# rows of a query have none #}
        {{ condition }}
    {%- else %}
        rowid in (select rowid from {{ relation }} as candidates where {{ condition }})
    {%- endif %}
{%- endmacro %}

{# Has Postgres look at a table that was made from all rows. #}
{% macro analyze_new(relation) -%}
    {%- if target.type == "postgres" and model.config.materialized == "incremental" and not is_incremental() -%}
        analyze {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#
    The number that a query answers, asked for now: of a number Postgres knows how few rows are above it, of a query it takes
    them for a third of all. In a unit test, where relations are made up, and in the documentation, the query itself.
#}
{% macro asked(query) -%}
    {%- if execute and flags.WHICH not in ("compile", "generate") and "__dbt__cte__" not in query -%}
        {{- run_query(query).columns[0].values()[0] -}}
    {%- else -%}
        ({{ query }})
    {%- endif -%}
{%- endmacro %}
