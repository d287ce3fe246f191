"""What errors say, without secrets."""

import re
from collections.abc import Iterator

_SECRET = re.compile(r"(Bearer )\S+|(://[^:/@\s]*:)[^@\s]+(?=@)")


def causes(error: BaseException) -> Iterator[BaseException]:
    """The root first."""
    causes: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in causes:
        causes.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return reversed(causes)


def module_of(error: BaseException) -> str:
    """The package that an error is of."""
    return type(error).__module__.partition(".")[0]


def first_line(error: BaseException) -> str:
    """What an error says, as one line without secrets."""
    lines = str(error).strip().splitlines()
    return on_one_line(lines[0]).rstrip(";:") if lines else ""


def on_one_line(text: str) -> str:
    """All of a text, without secrets."""
    return _SECRET.sub(r"\1\2***", " ".join(text.split()))
