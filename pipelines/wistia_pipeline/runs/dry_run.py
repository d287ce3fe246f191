"""What a sync would ask, without loading anything."""

from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any

from dlt.common.destination.reference import TDestinationReferenceArg

from wistia_source.endpoints import BY_NAME
from wistia_source.request import RunRequest
from wistia_source.warehouse import connected

from ..warehouses.kinds import destination_of
from .accounts import WistiaAccount
from .progress import Progress
from .results import metrics_of
from .sync import make_pipeline, raise_if_nothing_was_read, selected


@dataclass
class Forecast:
    """The requests of a run, about."""

    requests: int = 0
    """Of the resources of which it is known."""
    complete: bool = True
    """Whether it is known of all of them."""
    minutes: float = 0.0
    """At the configured quota."""
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By resource: `requests`, null where nobody knows before it is read; `reasons`, how many parents for each."""


def forecast(
    destination: TDestinationReferenceArg, progress: Progress, request: RunRequest, account: WistiaAccount
) -> Forecast:
    """What `run_sync` would ask: asks for the listings and counts the rest. Raises as a run does."""
    found = Forecast()
    # a working folder of its own: data that waits there to be loaded is none of ours
    with TemporaryDirectory(prefix="wistia-dry-run-") as folder:
        own = make_pipeline(destination, progress, account.pipeline_name, folder)
        source = selected(account.source(replace(request, dry_run=True)), request.resources)
        if destination_of(own).exists:
            # a DuckDB file that another program has open is waited for
            with connected(own):
                own.sync_destination()
        own.extract(source)
    raise_if_nothing_was_read(source)
    for name, metrics in metrics_of(source).items():
        is_known = metrics.expected is not None or not BY_NAME[name].has_unknown_length
        requests = (metrics.requests if metrics.expected is None else metrics.expected) if is_known else None
        found.resources[name] = {"requests": requests, "reasons": metrics.reasons}
        found.requests += requests or 0
        found.complete &= is_known
    found.minutes = round(found.requests / account.settings(accept_partial=True)["requests_per_minute"], 2)
    return found
