"""What commands share: options, exit codes, and one sentence for whatever goes wrong."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from ..warehouses.kinds import ANY_MODELLED

if TYPE_CHECKING:
    from ..models.build import ModelsResult
    from ..runs.accounts import WistiaAccount
    from ..runs.forget import ForgetResult
    from ..runs.results import SyncResult

EXIT_FAILED, EXIT_PARTIAL = 1, 3
EXIT_CODES = {"ok": 0, "failed": EXIT_FAILED, "partial": EXIT_PARTIAL}
MOST_NAMED = 20
LARGEST = 1_000_000
"""Of hours or seconds: nobody means more."""

VERBOSE = click.option("--verbose", is_flag=True, help="Show the traceback of a failure.")


def warehouse(meaning: str, default: str = "duckdb") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option of which warehouse."""
    return click.option("--destination", default=default, show_default=True, help=meaning)


WHERE_THE_DATA_IS = warehouse(f"Where the data is: {ANY_MODELLED}.")


def _account(_context: click.Context, _option: click.Parameter, value: str | None) -> WistiaAccount:
    from wistia_source.errors import SettingInvalid

    from ..runs.accounts import WistiaAccount

    try:
        return WistiaAccount() if value is None else WistiaAccount(value)
    except SettingInvalid as error:
        raise click.BadParameter(str(error)) from None


ACCOUNT = click.option(
    "--account",
    callback=_account,
    metavar="NAME",
    help="Which of several accounts: its settings are those of [sources.NAME].",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


def reported(command: Callable[..., int | None]) -> Callable[..., None]:
    """A command with `--verbose`, run as by `guarded`."""

    @VERBOSE
    @wraps(command)
    def run(verbose: bool, **options: Any) -> None:
        guarded(lambda: command(**options), verbose, options.get("account"))

    return run


def guarded(run: Callable[[], int | None], verbose: bool = False, account: WistiaAccount | None = None) -> None:
    """Ends the process with the code that `run` returns, 0 for none, or with what went wrong in one sentence."""
    from ..runtime.settings import use_defaults
    from ..warehouses.failures import stop_signal

    try:
        use_defaults()
        code = run()
    except click.ClickException:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if verbose:
            traceback.print_exception(error)
        click.echo(f"Error: {explained(error, account)}", err=True)
        stopped = stop_signal(error)
        code = 128 + stopped if stopped else EXIT_FAILED
    sys.exit(code)


def noted(
    run: Callable[[], None], result: SyncResult | ForgetResult, verbose: bool, account: WistiaAccount | None = None
) -> signal.Signals | None:
    """Runs it; what goes wrong is noted in the result, in one sentence. Returns the signal that has stopped it."""
    from ..runtime.settings import use_defaults
    from ..warehouses.failures import stop_signal

    try:
        use_defaults()
        run()
    except (Exception, KeyboardInterrupt) as error:
        if verbose:
            traceback.print_exception(error)
        result.status, result.error = "failed", explained(error, account)
        return stop_signal(error)
    return None


def explained(error: BaseException, account: WistiaAccount | None) -> str:
    """What is wrong in one sentence, with the account's own settings where it is one of several."""
    from ..warehouses.failures import explain

    return account.worded(explain(error)) if account else explain(error)


def names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The names in an option's value, which separates them by commas; none where it was left out."""
    # an empty list is more likely an empty variable than a wish for everything
    return () if value is None else tuple(name.strip() for name in value.split(",") if name.strip()) or ("''",)


def key(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """An option's value, null where it was left out; an empty one is refused for the reason above."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; name one, or leave the option out.")
    return value


def finite(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """An option's number, which click lets be none, or without an end, whatever the range."""
    if not value <= LARGEST:
        raise click.BadParameter(f"{value} is not a number up to {LARGEST:,}.")
    return value


def counted(count: int, thing: str) -> str:
    """A number of things, such as `1 row` or `2,000 rows`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def lost(failure: Mapping[str, Any]) -> str:
    """What could not be read, and why."""
    return f"{' of '.join(filter(None, (failure['resource'], failure['parent_id'])))}: {failure['error']}"


def name_failures(what: str, failures: Sequence[str]) -> None:
    """What went wrong, on standard error: the first by name, and how many more there are."""
    for failure in failures[:MOST_NAMED]:
        click.echo(f"{what}: {failure}", err=True)
    more = len(failures) - MOST_NAMED
    if more > 0:
        click.echo(f"{what}: {more:,} more; --json names them all.", err=True)


def show_models(
    result: ModelsResult, what_now: str = "The data stays loaded; wistia-pipeline models tries again."
) -> None:
    """The models and data tests that failed, by name, on standard error."""
    name_failures("Failed", [f"{failure['kind']} {failure['name']}: {failure['error']}" for failure in result.failures])
    if result.skipped:
        click.echo(f"Left out because of these: {', '.join(sorted(result.skipped))}.", err=True)
    if result.failures:
        click.echo(what_now, err=True)
