{%- set period_types = wistia.period_types() -%}

with sessions as (
    select * from {{ ref("int_wistia__session_periods") }} as session_periods
),

by_date as (
    {% for period_type in period_types -%}
    select
        account_id,
        '{{ period_type }}' as period_type,
        {{ wistia.period_of(period_type, "date") }} as period_start,
        cast(sum(load_count) as bigint) as load_count,
        cast(sum(play_count) as bigint) as play_count,
        sum(hours_watched) as hours_watched
    from {{ ref("stg_wistia__account_stats_by_date") }} as account_stats_by_date
    group by 1, 2, 3
    {{ "union all" if not loop.last }}
    {% endfor %}
),

rolled_up as (
    {{ wistia.side_by_side(["account_id", "period_type", "period_start"], "by_date", "sessions") | indent(4) }}
)

{% set last_date -%}
    case rolled_up.period_type
        {% for period_type in period_types -%}
        when '{{ period_type }}' then {{ wistia.last_day_of(period_type, "rolled_up.period_start") }}
        {% endfor -%}
    end
{%- endset -%}
select
    rolled_up.*,
    {{ wistia.is_over(last_date) }} as is_final
from rolled_up
{{ wistia.join_last_loads("rolled_up") }}
