-- The three days on which the account was watched most, in the time zone that this project has set.
select
    account_id,
    date,
    session_count,
    watched_hours
from {{ ref("wistia", "wistia__account_daily") }}
order by watched_hours desc, date
limit 3
