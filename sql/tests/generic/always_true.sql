{#
    Rows for which one of the conditions is false; a condition on a null counts as true. `only_new` looks at what the last
    build has changed.
#}
{% test always_true(model, conditions, only_new=false) %}
select *
from {{ model }}
where
    (
        {% for condition in conditions -%}
        ({{ condition }}) is false{{ " or " if not loop.last }}
        {% endfor %}
    )
    {%- if only_new %}
    and batch = {{ wistia.asked("select coalesce(max(batch), 0) from " ~ model) }}
    {%- endif %}
{% endtest %}
