-- Days of the daily marts have Wistia's own numbers, each once.
{%- set marts = {
    ref("wistia__account_daily"): (ref("stg_wistia__account_stats_by_date"), ["account_id", "date"]),
    ref("wistia__project_daily"): (ref("stg_wistia__project_stats_by_date"), ["account_id", "project_id", "date"]),
    ref("wistia__media_daily"): (ref("stg_wistia__media_stats_by_date"), ["account_id", "media_id", "date"]),
} %}

{% for mart, (by_date, keys) in marts.items() -%}
select '{{ mart.identifier }}' as mart, by_date.account_id, by_date.date, by_date.play_count, mart.play_count as found
from {{ by_date }} as by_date
left join {{ mart }} as mart
    on {{ wistia.same(keys, "by_date", "mart") }}
where mart.load_count is distinct from by_date.load_count
    or mart.play_count is distinct from by_date.play_count
    or mart.hours_watched is distinct from by_date.hours_watched
{{ "union all" if not loop.last }}
{% endfor %}
