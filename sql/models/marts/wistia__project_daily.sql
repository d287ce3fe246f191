{{ wistia.daily(
    "project",
    ref("stg_wistia__project_stats_by_date"),
    ref("stg_wistia__projects"),
    ["project_name"],
) }}
