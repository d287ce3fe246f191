"""Runs: sync, backfill, dry run, and forget; what one leaves behind, and the next one carries on with."""
