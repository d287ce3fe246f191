"""The tests of the SQL models see what is broken: each of these faults turns a unit test of its model red."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from wistia_pipeline import models
from wistia_pipeline.models import run_dbt
from wistia_pipeline.sandbox import Sandbox

from tests.support.sandbox import settings_for
from tests.support.warehouse import Warehouse

SQL = Path(__file__).parents[2] / "sql"
ACCOUNT = {"seed": 5, "medias": 3, "projects": 1, "visitors": 5, "events": 20, "days": 20}
DAYS = "{{ wistia.sessions_of_days() }}"
ONLY_NEW = (
    "(select * from {{ ref('wistia__sessions') }} as s"
    "{% if is_incremental() %} where {{ wistia.is_new(ref('wistia__sessions')) }}{% endif %})"
)
FAULTS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "a late session moves only itself",
        "wistia__sessions",
        "models/marts/wistia__sessions.sql",
        "    select account_id, viewer_number from arrived\n    union\n",
        "",
    ),
    (
        "the day that a session has left is forgotten",
        "wistia__sessions",
        "models/marts/wistia__sessions.sql",
        "                then known.session_date\n",
        "                then null\n",
    ),
    (
        "addresses of people are kept",
        "wistia__sessions",
        "macros/text.sql",
        '(@|%(?:25)*40)") }} is null',
        '(@|%(?:25)*40)") }} is null or true',
    ),
    ("only new sessions of a day", "wistia__audience_daily", "models/marts/wistia__audience_daily.sql", DAYS, ONLY_NEW),
    (
        "only new sessions of a day",
        "int_wistia__session_days",
        "models/intermediate/int_wistia__session_days.sql",
        DAYS,
        ONLY_NEW,
    ),
    (
        "sessions are counted as viewers",
        "int_wistia__session_periods",
        "macros/measures.sql",
        "count(distinct nullif(visitor_key, ''))",
        "count(nullif(visitor_key, ''))",
    ),
    (
        "days without Wistia's own numbers alone",
        "wistia__account_daily",
        "macros/daily.sql",
        '        union all\n        select {{ keys | join(", ") }}, date from by_date\n',
        "",
    ),
    (
        "periods average their days",
        "wistia__account_periods",
        "models/marts/wistia__account_periods.sql",
        "cast(sum(play_count) as bigint)",
        "cast(avg(play_count) as bigint)",
    ),
    (
        "an average of averages",
        "wistia__media_performance",
        "models/marts/wistia__media_performance.sql",
        "sum(viewed_fraction_sum) as viewed_fraction_sum",
        "avg(viewed_fraction_sum / nullif(measured_session_count, 0)) * sum(measured_session_count)"
        " as viewed_fraction_sum",
    ),
    (
        "a dropped filter: days of projects and of the account count as medias' own",
        "wistia__media_performance",
        "models/marts/wistia__media_performance.sql",
        "where grain = 'media' and parent_id is not null",
        "where parent_id is not null",
    ),
    (
        "a rank among all accounts",
        "wistia__media_performance",
        "models/marts/wistia__media_performance.sql",
        "rank() over (partition by account_id order",
        "rank() over (order",
    ),
    (
        "days are over when they are for Wistia",
        "wistia__account_daily",
        "macros/daily.sql",
        ' and {{ day }} < {{ wistia.day_of("loads.loaded_at") }}',
        "",
    ),
    (
        "medias that nobody watched pull the median",
        "wistia__project_performance",
        "models/marts/wistia__project_performance.sql",
        "where project_id is not null and session_count > 0",
        "where project_id is not null",
    ),
    (
        "cells of a second, however long the media",
        "wistia__media_engagement_curve",
        "models/marts/wistia__media_engagement_curve.sql",
        "then curves.position * medias.duration_seconds / curves.cell_count",
        "then cast(curves.position as double precision)",
    ),
    (
        "the weakest losses first",
        "wistia__media_dropoff",
        "models/marts/wistia__media_dropoff.sql",
        "order by lost_fraction desc",
        "order by lost_fraction",
    ),
    (
        "the oldest email",
        "int_wistia__viewers",
        "models/intermediate/int_wistia__viewers.sql",
        "order by email is null, number_from_last)",
        "order by email is null, number_from_last desc)",
    ),
    (
        "absent since the first session",
        "wistia__viewers",
        "models/marts/wistia__viewers.sql",
        'seconds_between("sessions.last_session_at", "newest.newest_session_at") }} as seconds_away',
        'seconds_between("sessions.first_session_at", "newest.newest_session_at") }} as seconds_away',
    ),
    (
        "a wrong join: the viewer of another account",
        "wistia__leads",
        "models/marts/wistia__leads.sql",
        "on watched.account_id = viewers.account_id and watched.viewer_key",
        "on watched.viewer_key",
    ),
    (
        "drafts before finished captions",
        "wistia__transcripts",
        "models/marts/wistia__transcripts.sql",
        "order by coalesce(is_draft, false), length",
        "order by length",
    ),
    (
        "a verdict on days that are not over",
        "wistia__reconciliation",
        "models/marts/wistia__reconciliation.sql",
        "        when not is_final then 'not over'\n",
        "",
    ),
    (
        "another address than that of the form",
        "wistia__activity",
        "models/marts/wistia__activity.sql",
        "coalesce(conversion_email, email)",
        "coalesce(email, conversion_email)",
    ),
    (
        "nothing is ever new",
        "int_wistia__media_viewers",
        "macros/batches.sql",
        "{{ column }} > {{",
        "{{ column }} > 1000 + {{",
    ),
)
"""What is wrong, the model that it breaks, the file, and the text in it before and after."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_broken_sql_turns_its_unit_tests_red(
    duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert duckdb_warehouse.sync(settings_for(living), models=True).status == "ok"
    sql = tmp_path / "sql"
    shutil.copytree(SQL, sql)
    monkeypatch.setattr(models, "packaged", lambda _: sql)
    monkeypatch.setattr(models, "_vars", lambda: {"wistia_unit_tests": True})
    unseen = []
    for fault, model, name, before, after in FAULTS:
        file = sql / name
        text = file.read_text("utf-8")
        assert text.count(before) == 1, fault
        file.write_text(text.replace(before, after), "utf-8")
        results = run_dbt(duckdb_warehouse.pipeline(), ["test", "--select", f"{model},test_type:unit"]).result
        assert results
        if {node.status for node in results} <= {"pass"}:
            unseen.append(f"{model}: {fault}")
        # an error would say that the fault is none of SQL that runs
        assert {node.status for node in results} <= {"pass", "fail"}, (fault, [node.message for node in results])
        file.write_text(text, "utf-8")
    assert unseen == []
