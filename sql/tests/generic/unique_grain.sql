{#
    Rows whose key is not theirs alone, or lacks a part. `nullable` are parts of the key that may be null; `only_new` looks
    at what the last build has changed.
#}
{% test unique_grain(model, columns, nullable=[], only_new=false) %}
select
    {{ columns | join(", ") }},
    count(*) as row_count
from {{ model }}
{%- if only_new %}
where batch = {{ wistia.asked("select coalesce(max(batch), 0) from " ~ model) }}
{%- endif %}
group by {{ columns | join(", ") }}
having count(*) > 1
{%- for column in columns if column not in nullable %}
    or {{ column }} is null
{%- endfor %}
{% endtest %}
