"""Shows results on a terminal or in a pipe."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..health.check_results import Checks, Status
from ..health.lookbacks import Lookback
from ..health.status import ResourceStatus, WarehouseStatus
from ..runs.accounts import ONLY
from ..runs.dry_run import Forecast
from ..runs.results import SyncResult
from .options import MOST_NAMED, counted, lost

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "failed": ("✗", "red"),
    "skipped": ("-", "dim"),
}
REASONS: dict[str, str] = {
    "new": "never asked",
    "earlier start": "with an earlier start",
    "watched": "watched",
    "turn": "in turn",
    "quiet": "quiet and spared",
}
"""What the reasons of `wistia_source.schedule` are called."""


def plain_table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    return table


def resources_table(result: SyncResult, title: str | None = None) -> Table:
    """Rows, requests and seconds of each resource of a run."""
    rows = [
        (name, f"{figures['rows']:,}", f"{figures['requests']:,}", f"{figures['seconds']:.1f}")
        for name, figures in result.resources.items()
    ]
    loaded = sum(figures["rows"] for figures in result.resources.values())
    table = plain_table(("resource", "rows new or changed", "requests", "seconds"), rows, title)
    table.add_section()
    table.add_row(f"all ({result.status})", f"{loaded:,}", f"{result.requests:,}", f"{result.seconds:.1f}")
    return table


def forecast_table(found: Forecast) -> Table:
    """Requests of each resource of a run to come, and why that many parents are asked."""
    rows = [
        (
            name,
            "one for each 100" if figures["requests"] is None else f"{figures['requests']:,}",
            ", ".join(f"{count:,} {REASONS[reason]}" for reason, count in figures["reasons"].items()),
        )
        for name, figures in found.resources.items()
    ]
    table = plain_table(("resource", "requests, about", "medias or projects"), rows)
    table.add_section()
    known = f"{found.requests:,}"
    more = "" if found.complete else " and more"
    table.add_row("all", f"{known}{more}", f"{found.minutes:,.1f} minutes at the quota, for {known}")
    return table


def _plain_console() -> Console:
    """Standard output, with colours only on a terminal."""
    console = Console()
    # FORCE_COLOR, which continuous integration likes to set, makes a pipe look like a terminal to rich
    return console if console.file.isatty() else Console(force_terminal=False, no_color=True, width=120)


def show_checks(found: Checks) -> None:
    """A line for each check, and below it what to do about it."""
    console = _plain_console()
    for _, same in groupby(found.checks, key=lambda check: check.detail if check.status == "skipped" else check.name):
        check, *more = same
        mark, colour = _MARKS[check.status]
        # one thing that is wrong leaves many others untried
        name = f"{len(more) + 1} more" if more else check.name
        lines = [f"{name:<22} {check.detail}", *([f"  {check.advice}"] if check.advice else [])]
        text = Text("\n".join(lines), "dim" if check.status == "skipped" else "")
        console.print(Text(f"{mark} ", colour) + text, soft_wrap=True)
    failed, warnings = (sum(check.status == status for check in found.checks) for status in ("failed", "warning"))
    answer = "A sync will work" if found.ok else "A sync will not load everything"
    console.print(
        f"{answer}: {failed} failed, {counted(warnings, 'warning')}, {counted(found.requests, 'request')}.",
        highlight=False,
        soft_wrap=True,
    )


def show_status(found: WarehouseStatus, console: Console | None = None) -> None:
    """A table of the resources, then a line for whatever else there is to say."""
    console = console or _plain_console()
    for _, rows in groupby(found.resources, key=lambda row: row.account_id):
        console.print(_resources_table(list(rows), found))
    for text in _lines(found):
        console.print(text, soft_wrap=True)


def _resources_table(rows: list[ResourceStatus], found: WarehouseStatus) -> Table:
    name = "" if rows[0].pipeline == ONLY else f" ({rows[0].pipeline})"
    table = Table(
        title=f"Account {rows[0].account_id}{name}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in ("resource", "rows", "newest", "landed", "last run", "read"):
        table.add_column(name, justify="right" if name == "rows" else "left", no_wrap=name in ("resource", "rows"))
    for row in rows:
        run = row.last_run or {}
        read = _ago(row.read_at, found) if row.read_at or row.is_watched else "not selected"
        table.add_row(
            row.resource,
            f"{row.rows:,}",
            _moment(row.cursor),
            _ago(row.landed_at, found),
            " ".join(filter(None, (run.get("command"), run.get("status")))) or "-",
            Text(read, "" if row.is_fresh(found.max_age_hours) else "red"),
        )
    return table


def _lines(found: WarehouseStatus) -> Iterator[Text]:
    """What is good plain, what is not in colour and with the way out."""
    yield _freshness(found)
    several = len({run["pipeline"] for run in (*found.running, *found.last_runs)}) > 1

    def of(pipeline: str) -> str:
        return f" of {pipeline}" if several else ""

    for run in found.running:
        began = _ago(run["started_at"], found)
        yield Text(
            f"Running{of(run['pipeline'])}: {run['command']}, begun {began}; or killed, which the next run will say."
        )
    for run in found.last_runs:
        whose = of(run["pipeline"])
        ended = _ago(run["finished_at"] or run["started_at"], found)
        why = f": {run['error']}" if run["error"] and run["status"] == "failed" else "."
        asked = counted(run["requests"] or 0, "request")
        yield Text(
            f"Last run{whose}: {run['command']} {run['status']}, {ended}, {asked}{why}",
            "" if run["status"] == "ok" else "yellow",
        )
        failures = [failure for failure in found.failures if failure["pipeline"] == run["pipeline"]]
        for failure in failures[:MOST_NAMED]:
            yield Text(f"  Not loaded: {lost(failure)}", "yellow")
        if len(failures) > MOST_NAMED:
            yield Text(f"  and {len(failures) - MOST_NAMED:,} more; --json names them all.", "yellow")
        yield Text(f"Last sync{whose} without a failure: {_ago(run['last_ok_at'], found)}.")
    yield Text(f"Requests today (UTC): {found.requests_today:,}.")
    for row in found.resources:
        if row.overdue:
            late = f"{row.overdue:,} {row.resource}"
            yield Text(f"Overdue{of(row.pipeline)}: {late}; their calls fail, or runs were missed.", "yellow")
    names = {row.account_id: row.pipeline for row in found.resources}
    for lookback in found.lookbacks:
        yield _lookback(lookback, names[lookback.account_id] if several else "")
    yield _models(found)
    for pipeline in sorted(set(names.values())):
        yield Text(f"Working state of dlt: dlt pipeline --pipelines-dir {found.pipelines_dir} {pipeline} info")


def _freshness(found: WarehouseStatus) -> Text:
    limit = f"{found.max_age_hours:g} h are allowed"
    if found.fresh:
        return Text(f"Fresh: what was read longest ago was {_hours(found.age_hours)} ago, {limit}.", "green")
    said = f"what was read longest ago was {_hours(found.age_hours)} ago, {limit}"
    if found.age_hours is None:
        said = "something was never read"
    old = sorted({row.resource for row in found.resources if not row.is_fresh(found.max_age_hours)})
    named = f" ({', '.join(old)})" if old else ""
    return Text(f"Not fresh: {said}{named}; run wistia-pipeline sync, and see that it runs every hour.", "red")


def _lookback(lookback: Lookback, whose: str) -> Text:
    text = f"Lookback of {' '.join(filter(None, (whose, lookback.resource)))}: {lookback.verdict}"
    if lookback.advice:
        return Text(f"{text}: {lookback.advice}.", "yellow")
    if lookback.verdict == "unknown":
        return Text(f"{text} before a second run.")
    return Text(f"{text}, {counted(lookback.late_rows, 'late row')} in 30 days.")


def _models(found: WarehouseStatus) -> Text:
    if found.models is None:
        return Text("Models: not built.")
    models = found.models
    text = f"Models: {models['marts']} marts, built {_ago(models['built_at'], found)}"
    called = {"failed_models": "failed model", "failed_tests": "failed test", "missing_marts": "missing"}
    wrong = [f"{what} {', '.join(models[key])}" for key, what in called.items() if models[key]]
    if wrong:
        return Text(f"{text}; {'; '.join(wrong)}: wistia-pipeline models tries again.", "yellow")
    return Text(f"{text}, all tests hold.")


def _moment(value: datetime | date | None) -> str:
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value.isoformat()


def _ago(moment: datetime | None, found: WarehouseStatus) -> str:
    if moment is None:
        return "never"
    hours = (found.checked_at - moment).total_seconds() / 3600
    return f"{_hours(hours)} ago" if hours > 1 / 60 else "just now"


def _hours(hours: float | None) -> str:
    """A length of time in the largest unit that tells it well."""
    minutes = max((hours or 0.0) * 60, 0.0)
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
