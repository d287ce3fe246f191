"""One page that shows how an account's medias are watched, drawn from the marts."""

from .figures import read_figures
from .page import page

__all__ = ["page", "read_figures"]
