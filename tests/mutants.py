"""Applies each fault of `mutants.toml` to a copy of the project, runs its tests there, and prints what they made of it.

    uv run python -m tests.mutants [NAME ...] [--jobs 2]

Before the faults, their tests run once without any: a test that fails anyway would prove nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from time import monotonic

from tests.support.shared import FOLDER

ROOT = Path(__file__).parents[1]
FAULTS = Path(__file__).with_name("mutants.toml")
SECONDS_PER_TEST = 600
"""As in CI. A test that hangs because of its fault has seen it."""
_RED = re.compile(r"^(FAILED|ERROR) (tests/\S+)", re.MULTILINE)
"""A line of pytest's short summary. Names with spaces are cut, which is enough to tell tests apart."""
_ALL_GREEN, _SOME_RED = 0, 1
"""Exit codes of pytest; others mean that it could not run the tests."""


@dataclass(frozen=True)
class Fault:
    """A small edit of one file, the promise that it breaks, and the tests that must fail because of it."""

    name: str
    promise: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def applied_to(self, content: str) -> str:
        """The file's content with the fault. Raises `ValueError` where its text is not there exactly once."""
        if content.count(self.text) != 1:
            raise ValueError(f"{self.name}: its text is in {self.file} {content.count(self.text)} times, not once")
        return content.replace(self.text, self.replacement)


@dataclass(frozen=True)
class Outcome:
    """What the tests made of a fault: `died`, `SURVIVED`, or `BROKEN` where they could not run."""

    fault: Fault
    verdict: str
    seconds: float
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:<8} {self.fault.name} ({self.seconds:.0f} s){self.detail and ': ' + self.detail}"


def all_faults() -> list[Fault]:
    """The faults of `mutants.toml`, in its order."""
    tables = tomllib.loads(FAULTS.read_text("utf-8"))["faults"]
    return [Fault(name, **{**table, "tests": tuple(table["tests"])}) for name, table in tables.items()]


def chosen(names: Sequence[str]) -> list[Fault]:
    """The named faults; all without names. Raises `ValueError` for a name that there is not."""
    faults = all_faults()
    if unknown := set(names) - {fault.name for fault in faults}:
        raise ValueError(f"There is no fault {', '.join(sorted(unknown))} in {FAULTS.name}.")
    return [fault for fault in faults if not names or fault.name in names]


@contextmanager
def copied_project() -> Iterator[Path]:
    """A copy of the project with an environment of its own, so that commands run the copy's code, too."""
    with TemporaryDirectory(prefix="wistia-mutants-") as folder:
        # where root runs the tests, Postgres is another user, whose programs are in the copy
        Path(folder).chmod(0o755)
        copy = Path(folder) / "project"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        subprocess.run(["uv", "sync", "--locked", "--quiet", "--compile-bytecode"], cwd=copy, check=True)
        yield copy


def run_tests(copy: Path, tests: Iterable[str], *options: str) -> tuple[int, str]:
    """Pytest's exit code and output, of tests with any marker."""
    command = [str(copy / ".venv/bin/python"), "-m", "pytest", "-m", "", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
    command.append(f"--timeout={SECONDS_PER_TEST}")
    # nothing that sound code has made
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    done = subprocess.run([*command, *options, *tests], cwd=copy, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def is_of(name: str, test: str) -> bool:
    """Whether a line of the summary is about a test, or about one of its cases."""
    return name == test.partition(" ")[0] or name.startswith(f"{test}[")


def outcome(fault: Fault, copy: Path) -> Outcome:
    """Applies a fault to the copy, runs its tests, and puts the file back."""
    file, began = copy / fault.file, monotonic()
    sound = file.read_text("utf-8")
    file.write_text(fault.applied_to(sound), "utf-8")
    try:
        code, output = run_tests(copy, fault.tests)
    finally:
        file.write_text(sound, "utf-8")
    seconds = monotonic() - began
    if code not in (_ALL_GREEN, _SOME_RED):
        return Outcome(fault, "BROKEN", seconds, f"pytest ended with {code}\n{output[-2000:]}")
    red = _RED.findall(output)
    seen_by = {test: {kind for kind, name in red if is_of(name, test)} for test in fault.tests}
    if green := [test for test, kinds in seen_by.items() if not kinds]:
        return Outcome(fault, "SURVIVED", seconds, f"{fault.promise} Still green: {', '.join(green)}")
    if unrun := [test for test, kinds in seen_by.items() if kinds == {"ERROR"}]:
        return Outcome(fault, "BROKEN", seconds, f"not begun: {', '.join(unrun)}")
    return Outcome(fault, "died", seconds, "by a time-out" if "Timeout (>" in output else "")


def outcomes(faults: Sequence[Fault], copies: Sequence[Path]) -> Iterator[Outcome]:
    """The outcome of each fault as it comes, one fault at a time in each copy."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def in_a_free_copy(fault: Fault) -> Outcome:
        copy = free.get()
        try:
            return outcome(fault, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(in_a_free_copy, faults)


def main() -> int:
    """Exits with 1 where a fault survives, with 2 where the tests prove nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to apply; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="how many to apply side by side")
    arguments = parser.parse_args()
    try:
        faults = chosen(arguments.names)
        for fault in faults:
            fault.applied_to((ROOT / fault.file).read_text("utf-8"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    with ExitStack() as stack:
        copies = [stack.enter_context(copied_project()) for _ in range(min(arguments.jobs, len(faults)))]
        tests = dict.fromkeys(test for fault in faults for test in fault.tests)
        code, output = run_tests(copies[0], tests, "-n", str(arguments.jobs))
        if code != _ALL_GREEN:
            print(f"{output}\nThese tests fail without any fault: fix them first.", file=sys.stderr)
            return 2
        print(f"The {len(tests)} tests of {len(faults)} faults pass without them.", flush=True)
        found = []
        for ended in outcomes(faults, copies):
            print(ended, flush=True)
            found.append(ended)
    alive = [ended for ended in found if ended.verdict != "died"]
    print(f"{len(found) - len(alive)} of {len(found)} faults died.")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
