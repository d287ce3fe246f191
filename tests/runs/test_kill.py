"""Killed at any point, one more sync ends with the warehouse of an undisturbed one, and the access token is nowhere."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from signal import SIGKILL

import pytest
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.schemas import DATASET

from tests.support.kills import END, MERGED, NOW, TOKEN, Kill, Order, Run, Step, runner
from tests.support.places import DuckDB, Place, Postgres, Tables

HOUR = timedelta(hours=1)
POINTS = {"extract": 4, "normalize": 4, "load": 6, "around": 3}
"""Kills in each phase of a sync, from its first step to its last; `around` is what comes before and after."""
MORE_AT_THE_END = 2
"""Kills more just before the last step of the load."""
WITHIN_STATEMENTS = 3
"""Kills more while a statement of the load runs."""
STATEMENT_SECONDS = 0.0005
CHANGE = re.compile("before (INSERT|DELETE|adbc_ingest)")
"""Steps that begin such a statement."""
BETWEEN_MERGES = 6
"""Kills more when some tables are merged and others are not."""
LEAST_KILLS = 20
"""Of each scenario; some of those above may be the same."""
LOSE_MACHINE_EVERY = 3
"""Of so many kills one takes the working folder along."""
PARTS = 2
"""Tests that share all kills of one scenario, so that several can run at a time."""
RUN_LOG = {"sync_runs", "sync_failures", "restatements"}
"""Tables that tell of the runs themselves."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a sync; the steps it took, or the one it was killed at, and its exit code."""
    with runner() as made:
        yield made


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty warehouse of the wanted kind."""
    if request.param == "duckdb":
        yield DuckDB(tmp_path)
        return
    postgres = Postgres(tmp_path, request.getfixturevalue("postgres_url"))
    yield postgres
    postgres.drop()


def spread(among: Sequence[Kill], count: int) -> list[Kill]:
    """So many of them at even distances, with the first and the last."""
    assert len(among) >= count, among
    return [among[number * (len(among) - 1) // (count - 1)] for number in range(count)]


def chosen(steps: Sequence[Step]) -> list[Kill]:
    """Kills of a sync that takes these steps."""
    counts: Counter[Step] = Counter()
    possible: dict[str, list[Kill]] = {phase: [] for phase in POINTS}
    for step in steps:
        counts[step] += 1
        possible[step.phase].append(Kill(step, counts[step]))
    kills = [kill for phase, count in POINTS.items() for kill in spread(possible[phase], count)]
    kills += possible["load"][-1 - MORE_AT_THE_END : -1]
    merged = [kill for kill in possible["load"] if kill.step == MERGED]
    kills += spread(merged[:-1], BETWEEN_MERGES)
    statements = [kill for kill in possible["load"] if CHANGE.match(kill.step.what)]
    kills = list(dict.fromkeys(kills))
    return kills + [replace(kill, delay=STATEMENT_SECONDS) for kill in spread(statements, WITHIN_STATEMENTS)]


def let_an_hour_pass(account: Account) -> None:
    """What an hourly sync finds beside new sessions and new counts."""
    view = account.at(NOW)
    medias, events = view.medias(), view.events()
    newest = max(events, key=lambda event: str(event["received_at"]))
    account.add_late_event(medias[0]["hashed_id"], NOW - HOUR / 2)
    account.restate_event(newest["event_key"], percent_viewed=0.987)
    account.delete_media(medias[1]["hashed_id"])


def restate(account: Account, loads: int) -> None:
    """Adds to the account's counts of a day and to nothing else: of a media that is in no list."""
    listed = {media["hashed_id"] for media in account.at(NOW).medias()}
    gone = next(media.hashed_id for media in account.medias if media.hashed_id not in listed)
    account.restate_day(gone, NOW.date() - timedelta(days=1), loads=loads)


def contents(tables: Tables) -> dict[str, Counter[str]]:
    """The rows of the resources' tables, without the load that brought them."""
    return {
        table: Counter(repr(sorted(item for item in row.items() if item[0] != "_dlt_load_id")) for row in rows)
        for (schema, table), rows in tables.items()
        if schema == DATASET and not table.startswith("_dlt") and table not in RUN_LOG
    }


def filled(tables: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Those that have rows."""
    return {name: rows for name, rows in tables.items() if rows}


def difference(got: dict[str, Counter[str]], wanted: dict[str, Counter[str]]) -> list[str]:
    """What is wrong with each table, with one of the rows."""
    found = [f"{table} is missing" for table in sorted(wanted.keys() - got.keys())]
    for table, rows in sorted(got.items()):
        needed = wanted.get(table, Counter())
        for what, few in (("lacks", needed - rows), ("should not have", rows - needed)):
            if few:
                found.append(f"{table} {what} {few.total()} rows, such as {next(iter(few))[:300]}")
    return found


def some_of(kills: Sequence[Kill], phases: Sequence[str]) -> list[Kill]:
    """One when about half of the tables are merged, and one in each of the phases."""
    draw = Random(1)
    merges = [kill for kill in kills if kill.step == MERGED]
    # how often a step comes can depend on threads; that it comes does not
    others = [kill for kill in kills if kill not in merges and not kill.delay and kill.occurrence == 1]
    by_phase = [[kill for kill in others if kill.step.phase == phase] for phase in phases]
    return [merges[len(merges) // 2], *map(draw.choice, by_phase)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("place", "scenario", "phases", "part"),
    [
        ("duckdb", "hourly", ("extract", "load"), None),
        ("postgres", "hourly", ("normalize", "load"), None),
        # what a kill leaves in the working folder is the same wherever it is loaded: half of them for Postgres
        *(
            pytest.param(kind, scenario, tuple(POINTS), part, marks=pytest.mark.deep)
            for kind, part in (*(("duckdb", part) for part in range(PARTS)), ("postgres", 0))
            for scenario in ("first", "hourly")
        ),
    ],
    indirect=["place"],
)
def test_one_sync_after_a_kill_ends_as_if_nothing_had_happened(
    place: Place, scenario: str, phases: tuple[str, ...], part: int | None, run: Run
) -> None:
    account = Account(seed=3, start=NOW, medias=4, projects=2, visitors=40, events=200, days=30, hourly_events=6)
    with Sandbox(account, rate_limit=None, token=TOKEN) as sandbox:

        def sync(now: datetime, kill: Kill | None = None) -> tuple[list[Step], int]:
            sandbox.now = lambda: now
            return run(Order(str(place.folder), place.destination, place.credentials, sandbox.url, now, kill))

        now = NOW
        if scenario == "hourly":
            assert sync(now)[1] == 0, place.output()
            let_an_hour_pass(account)
            now += HOUR
        before = contents(place.tables())
        place.save()
        steps, code = sync(now)
        assert code == 0, place.output()
        after_one = contents(place.tables())
        moved = {table for table in after_one if after_one[table] != before.get(table)}
        assert moved >= {"medias", "events", "visitors", "media_stats_by_date", "project_stats", "refreshes"}
        restate(account, 5)
        assert sync(now)[1] == 0, place.output()
        wanted = contents(place.tables())
        moved = {table for table in wanted if wanted[table] != after_one[table]}
        assert moved == {"account_stats", "account_stats_by_date"}

        kills = chosen(steps)
        assert len(set(kills)) == len(kills) >= LEAST_KILLS
        fell: Counter[str] = Counter()
        at_the_end = halfway = 0
        wrong: list[str] = []
        struck = list(enumerate(kills))[part::PARTS] if part is not None else [*enumerate(some_of(kills, phases))]
        for number, kill in struck:
            place.reset()
            restate(account, -5)
            last, code = sync(now, kill)
            assert code == -SIGKILL, place.output()
            if last[0] == END:
                at_the_end += 1
            else:
                fell[last[0].phase] += 1
            tables = place.tables()
            halfway += filled(contents(tables)) not in (filled(before), filled(after_one))
            mentions = place.mentions_of_token(tables)
            is_lost = number % LOSE_MACHINE_EVERY == LOSE_MACHINE_EVERY - 1
            if is_lost:
                shutil.rmtree(place.working_folder, ignore_errors=True)
            # Wistia's data moves meanwhile
            restate(account, 5)
            _, code = sync(now)
            tables = place.tables()
            found = [f"the token is in {name}" for name in mentions + place.mentions_of_token(tables)]
            if code:
                found.append(f"the next sync failed:\n{place.output()[-3_000:]}")
            else:
                found += difference(contents(tables), wanted)
            where = f"{place.destination}, {scenario} sync, kill {number}, {kill}{', machine lost' if is_lost else ''}"
            wrong += [f"{where}: {what}" for what in found]
    assert not wrong, "\n".join(wrong)
    # the kills fell where they were to fall: in each phase, and while only a part was in the warehouse
    assert at_the_end <= (0 if part is None else max(1, len(struck) // 10))
    assert fell.keys() >= set(phases)
    assert fell["load"] >= len(struck) / 5
    assert halfway
