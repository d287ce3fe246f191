select
    watched.account_id,
    watched.viewer_key as visitor_key,
    watched.media_id,
    watched.media_name,
    viewers.email,
    viewers.visitor_name,
    viewers.first_name,
    viewers.last_name,
    viewers.org_name,
    watched.qualified_at,
    watched.best_viewed_fraction,
    watched.session_count,
    watched.watched_seconds,
    watched.first_watched_at,
    watched.last_watched_at
from {{ ref("int_wistia__media_viewers") }} as watched
inner join {{ ref("wistia__viewers") }} as viewers
    on watched.account_id = viewers.account_id and watched.viewer_key = viewers.visitor_key
where watched.qualified_at is not null
    and watched.media_id is not null
    and viewers.email is not null
