{{ wistia.daily(
    "media",
    ref("stg_wistia__media_stats_by_date"),
    ref("int_wistia__known_medias"),
    ["media_name", "project_id", "project_name"],
) }}
