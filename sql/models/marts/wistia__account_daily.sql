{{ wistia.daily("account", ref("stg_wistia__account_stats_by_date")) }}
