"""A local Wistia API over real HTTP, with seeded data that lives: `Sandbox(Account(start=...))`."""

from .account import Account
from .faults import Fault
from .server import Call, Sandbox
from .view import View

__all__ = ["Account", "Call", "Fault", "Sandbox", "View"]
