"""Warehouses: how each kind is loaded, locked, read, maintained, and built in."""
