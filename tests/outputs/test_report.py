"""The report in a real browser: what it shows is what the marts say, and it asks nobody for anything."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Browser, sync_playwright
from wistia_pipeline.cli import main
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.folder import Folder
from tests.support.mart_rows import load
from tests.support.outputs import (
    HOSTILE,
    TWICE,
    copied,
    copied_in_postgres,
    in_duckdb_once,
    reader_of,
)
from tests.support.report_numbers import Marts, assert_equal, assert_equal_people
from tests.support.report_page import Opened, chromium, opened
from tests.support.sandbox import NOW, TOKEN
from tests.support.warehouse import in_duckdb
from wistia_source.endpoints import BY_NAME

# the first test that needs the account may have to wait until it is loaded and modelled
pytestmark = pytest.mark.timeout(300)

CHARTS = ("plays", "viewers", "hours", "medias", "curve", "countries", "pages", "devices", "browsers", "funnel")
BARS = {"medias", "countries", "pages", "devices", "browsers", "funnel"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; without one only those tests are left out that need it, unless it is required."""
    if not chromium() and not os.environ.get("WISTIA_REQUIRE_CHROMIUM"):
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # as root Chromium has no sandbox of its own to start
        with_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=chromium(), args=with_root)
        yield started
        started.close()


@pytest.fixture(scope="module")
def loaded() -> Folder:
    """The account in a DuckDB file, which no test changes."""
    return in_duckdb_once()


@pytest.fixture(scope="module")
def written(loaded: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of all days."""
    return report(loaded, tmp_path_factory.mktemp("report") / "report.html")


def invoke(folder: Folder, *arguments: str) -> Result:
    """`wistia-pipeline report` in this process, which is quicker by a second."""
    return CliRunner().invoke(main, ["report", *arguments], env=folder.env)


def report(folder: Folder, file: Path, *arguments: str) -> Path:
    """Writes one."""
    done = invoke(folder, "--output", str(file), *arguments)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"The report of \S+ to \S+ is {re.escape(str(file))}; open it in a browser\.\n", done.output)
    return file


def assert_drawn(found: Opened) -> None:
    """Each chart has a mark for each of its numbers, and says what it shows."""
    for name in (*CHARTS, "reconciliation"):
        said = found.page.get_attribute(
            f"#{name} [role=graphics-document], #{name}[role=graphics-document]", "aria-label"
        )
        assert said
        assert len(said) > 20
        rows = found.table(f"{name}-table")
        if name in BARS:
            assert found.marks(name, "rect") == len(rows) > 0
            numbers = found.texts(f"#{name} .mark-text.role-mark text")
            assert numbers == [row[1].replace("–", "0") for row in rows]
        elif name == "reconciliation":
            assert found.marks(name, "symbol") == sum(row[4] != "–" for row in rows) > 0
        else:
            lines = {"plays": 2, "curve": 2}.get(name, 1)
            assert found.marks(name, "line") == lines
        assert_inside(found, name)


def assert_inside(found: Opened, name: str) -> None:
    """No word of a chart is cut off."""
    boxes = found.page.eval_on_selector_all(
        # those that would overlap are there, too, but not to be seen
        f"#{name} svg text:not([opacity='0'])",
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])",
    )
    left, right = found.page.eval_on_selector(
        f"#{name} svg", "svg => [svg.getBoundingClientRect().left, svg.getBoundingClientRect().right]"
    )
    assert boxes
    assert all(left - 1 <= begin and end <= right + 1 for begin, end in boxes), (name, left, right, boxes)


def luminance(color: str) -> float:
    """Of a colour that a browser computed, as WCAG has it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def assert_legible(found: Opened) -> tuple[float, float]:
    """All texts have the contrast that WCAG asks for; the luminance of ground and text."""
    colors: list[list[str]] = found.page.evaluate(
        """() => [...document.querySelectorAll("h1, p, dt, dd, small, summary, th, figure h3, svg text")].map(one => {
            const look = getComputedStyle(one);
            return [one.closest("svg") ? look.fill : look.color, getComputedStyle(
                one.closest("figure, .totals > div") ?? document.body).backgroundColor];
        })"""
    )
    ground = luminance(found.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    for color, behind in colors:
        one, other = luminance(color), ground if behind == "rgba(0, 0, 0, 0)" else luminance(behind)
        assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5, (color, behind)
    assert len(colors) > 100
    return ground, luminance(colors[0][0])


def test_it_shows_what_the_marts_say(browser: Browser, loaded: Folder, written: Path) -> None:
    with opened(browser, written) as found:
        assert_drawn(found)
        ground, text = assert_legible(found)
        assert ground > 0.8 > 0.2 > text
        end = max(row["date"] for row in Marts(loaded)("account_daily")) + timedelta(days=1)
        assert_equal(found, Marts(loaded), end - timedelta(days=90), end)
        assert_equal_names(found)
        assert found.page.title() == f"Wistia report, {end - timedelta(days=90)} to {end - timedelta(days=1)}"
        # the names of sections, for those who go from heading to heading
        levels = found.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => +one.tagName[1])")
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
    assert written.stat().st_size < 1_500_000


def assert_equal_names(found: Opened) -> None:
    """Names are texts, whatever they look like."""
    names = [row[0] for row in found.table("medias-table")]
    assert HOSTILE in names
    assert sum(name.startswith(f"{TWICE} (") for name in names) >= 2
    assert len(set(names)) == len(names)
    assert found.page.locator("img").count() == 0
    assert not found.page.title().startswith("run")


def test_it_names_nobody(loaded: Folder, written: Path) -> None:
    page = written.read_text("utf-8")
    viewers = Marts(loaded)("viewers")
    private = {viewer[name] for viewer in viewers for name in ("visitor_key", "visitor_name", "email") if viewer[name]}
    assert len(private) > 20
    assert not [text for text in private if text in page]


@pytest.mark.slow
def test_it_fits_a_phone_and_the_dark(browser: Browser, written: Path) -> None:
    with opened(browser, written, "phone", color_scheme="dark", timezone_id="Pacific/Auckland") as found:
        assert_drawn(found)
        ground, text = assert_legible(found)
        assert ground < 0.05 < 0.5 < text
        for details in found.page.locator("summary").all():
            details.click()
        assert found.page.evaluate("document.documentElement.scrollWidth") == 320
        wide = found.page.evaluate(
            "() => [...document.querySelectorAll('body *')].filter(one => !one.closest('.wide, svg') "
            "&& one.getBoundingClientRect().right > 320).map(one => one.outerHTML.slice(0, 99))"
        )
        assert wide == []


@pytest.mark.deep
@pytest.mark.parametrize("day", range(7))
def test_days_fit_a_phone_on_any_day(browser: Browser, loaded: Folder, tmp_path: Path, day: int) -> None:
    page = report(loaded, tmp_path / "report.html", "--end", str(NOW.date() - timedelta(days=day)))
    with opened(browser, page, "phone") as found:
        assert_inside(found, "plays")


@pytest.mark.slow
def test_it_prints_in_light_colours(browser: Browser, written: Path) -> None:
    with opened(browser, written, color_scheme="dark") as found:
        found.page.emulate_media(media="print", color_scheme="dark")
        found.page.set_viewport_size({"width": 680, "height": 900})
        ground, text = assert_legible(found)
        assert ground > 0.9 > 0.2 > text
        assert found.page.evaluate("document.documentElement.scrollWidth") == 680
        assert found.page.locator("details:visible").count() == 0
        # A4, all of them
        pages = found.page.pdf(format="A4").count(b"/Type /Page\n")
        assert 3 <= pages <= 6


@pytest.mark.slow
def test_days_can_be_chosen(browser: Browser, loaded: Folder, tmp_path: Path) -> None:
    end = NOW.date() - timedelta(days=4)
    first = end - timedelta(days=5)
    file = report(loaded, tmp_path / "five.html", "--start", str(first), "--end", str(end))
    with opened(browser, file) as found:
        assert_drawn(found)
        assert_equal(found, Marts(loaded), first, end)
        assert len(found.table("plays-table")) == 5


@pytest.mark.slow
def test_shares_are_of_measured_sessions_and_old_leads_are_no_new_ones(
    browser: Browser, loaded: Folder, tmp_path: Path
) -> None:
    own, first = copied(loaded, tmp_path), NOW.date() - timedelta(days=5)
    sessions = "wistia_intermediate.int_wistia__sessions"
    with closing(duckdb.connect(str(own.warehouse))) as connection:
        # leads who have watched once more than what made them leads
        ((changed,),) = connection.execute(
            f"update {sessions} set received_at = received_at - interval 60 days, session_date = session_date - 60 "
            "where exists (select 1 from wistia.wistia__leads as leads where leads.visitor_key = "
            f"{sessions}.visitor_key and leads.qualified_at = {sessions}.received_at and leads.session_count > 0)"
        ).fetchall()
        assert changed > 0
        connection.execute(
            f"update {sessions} set viewed_fraction = null, watched_seconds = null, is_completed = false "
            "where not is_completed and hash(event_key) % 3 = 0"
        )
        again = connection.execute(
            f"select count(*) from {sessions} as seen join wistia.wistia__leads as leads using (visitor_key) "
            f"where seen.session_date >= date '{first}' and leads.qualified_at < date '{first}'"
        ).fetchone()
    assert again
    assert again[0] > 0
    end = NOW.date() + timedelta(days=1)
    file = report(own, tmp_path / "own.html", "--start", str(first), "--end", str(end))
    with opened(browser, file) as found:
        assert_equal_people(found, Marts(own), first, end)


@pytest.mark.slow
def test_without_sessions_it_says_so(browser: Browser, loaded: Folder, tmp_path: Path) -> None:
    file = report(loaded, tmp_path / "none.html", "--start", "2020-01-01", "--end", "2020-02-01")
    with opened(browser, file) as found:
        assert "Nothing was watched in these days." in found.texts("main > p strong")
        assert found.texts("#total-plays") == ["0"]
        assert found.texts("#total-completed") == ["–"]
        assert found.page.locator("svg").count() == 0
    emptied = copied(loaded, tmp_path)
    with closing(duckdb.connect(str(emptied.warehouse))) as connection:
        # the views stand on these and on what was loaded
        built = [
            "wistia_intermediate.int_wistia__sessions",
            "wistia_intermediate.int_wistia__audience_days",
            "wistia_intermediate.int_wistia__session_days",
        ]
        for name in [*built, *(f"wistia_raw.{table}" for table in BY_NAME)]:
            connection.execute(f"delete from {name}")
    with opened(browser, report(emptied, tmp_path / "empty.html")) as found:
        assert found.texts("main > p strong") == ["Nothing has been watched yet"]
        assert found.texts("#session-at") == ["–"]


@pytest.mark.slow
def test_it_is_the_same_from_postgres(browser: Browser, tmp_path: Path, postgres_url: str) -> None:
    with copied_in_postgres(postgres_url, tmp_path) as folder:
        file = report(folder, tmp_path / "report.html", "--destination", "postgres")
        with opened(browser, file) as found:
            assert_drawn(found)
            end = max(row["date"] for row in Marts(folder)("account_daily")) + timedelta(days=1)
            assert_equal(found, Marts(folder), end - timedelta(days=90), end)


@pytest.mark.deep
def test_of_an_account_without_anything(browser: Browser, tmp_path: Path) -> None:
    account = Account(start=NOW, medias=0, projects=1, visitors=1, events=0, days=2)
    folder = reader_of(tmp_path / "work" / "warehouse.duckdb")
    folder.work.mkdir()
    with Sandbox(account, rate_limit=None, token=TOKEN) as sandbox:
        load(in_duckdb(folder.warehouse), sandbox)
    with opened(browser, report(folder, tmp_path / "empty.html")) as found:
        assert found.texts("#total-viewing-sessions") == ["0"]


def test_what_is_missing_is_said(loaded: Folder, tmp_path: Path) -> None:
    bare = copied(loaded, tmp_path)
    with closing(duckdb.connect(str(bare.warehouse))) as connection:
        connection.execute("drop schema wistia cascade")
    done = invoke(bare)
    assert (done.exit_code, done.output) == (
        1,
        "Error: wistia__account_daily has not been built yet; run wistia-pipeline models first.\n",
    )
    for wrong, code in (("", 2), (".", 1), ("none/report.html", 1)):
        done = invoke(loaded, "--output", wrong)
        assert (done.exit_code, done.output.count("Error: ")) == (code, 1)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "vl_convert.py").write_text("raise ModuleNotFoundError(\"No module named 'vl_convert'\")")
    lacking = loaded.run("report", "--output", str(tmp_path / "report.html"), PYTHONPATH=str(tmp_path / "packages"))
    assert (lacking.returncode, lacking.stderr) == (
        1,
        "Error: Report needs more packages; run pip install '.[report]' in this project's folder, then again.\n",
    )
    assert not list(tmp_path.rglob("*.html"))
    assert not list(loaded.work.rglob("*.html"))
