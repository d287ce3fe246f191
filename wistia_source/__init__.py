"""dlt source for Wistia video analytics: `from wistia_source import wistia`."""

from .source import wistia

__all__ = ["wistia"]
