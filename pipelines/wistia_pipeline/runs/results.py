"""What a run came to: from the counts that its resources keep to the result and the rows of the run log."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from uuid import uuid4

from dlt.extract import DltSource

from wistia_source.endpoints import BY_NAME, EVENTS
from wistia_source.metrics import Metrics

from ..models.build import ModelsResult


@dataclass(frozen=True)
class DayOutsideBand:
    """A day whose viewing sessions are fewer or more than its plays explain."""

    date: date
    sessions: int
    plays: int

    def __str__(self) -> str:
        return f"{self.date} has {self.sessions:,} sessions for {self.plays:,} plays"


@dataclass
class SyncResult:
    """What one run came to."""

    status: Literal["ok", "partial", "failed"] = "failed"
    """Until a run has ended well."""
    requests: int = 0
    seconds: float = 0.0
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By resource: `rows` loaded, new or changed; `requests`, `retries`, `wait_seconds`, `seconds`, `left_out` rows."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """What could not be read: `resource`, `parent_id` (empty for all of the resource), `error`."""
    new_fields: list[str] = field(default_factory=list)
    """Fields that no release has declared and that came for the first time, as `resource.field`."""
    days_outside_band: list[DayOutsideBand] = field(default_factory=list)
    models: ModelsResult | None = None
    """What building the SQL models came to; null where they were not to be built."""
    run_id: str = field(default_factory=lambda: uuid4().hex)
    error: str | None = None

    def note_loaded(self, source: DltSource) -> None:
        """The rows counted so far are in the warehouse."""
        self.resources |= {name: {"rows": metrics.rows} for name, metrics in metrics_of(source).items()}

    def fill(self, source: DltSource) -> None:
        """Takes over what the resources have counted."""
        self.failures = failures_of(source)
        for name, metrics in metrics_of(source).items():
            counted = ("requests", "retries", "left_out", "seconds", "wait_seconds")
            self.resources[name] = {
                "rows": 0,
                **self.resources.get(name, {}),
                **{figure: round(getattr(metrics, figure), 3) for figure in counted},
            }
        self.requests = sum(figures["requests"] for figures in self.resources.values())
        self.new_fields = [
            f"{name}.{field}"
            for name, resource in source.resources.selected.items()
            for field in Metrics.of(resource.custom_metrics).new_fields
        ]

    def as_log(self, source: DltSource) -> list[dict[str, Any]]:
        """The rows of `sync_runs`."""
        rows = [self._log_row(source, name) for name in self.resources]
        account_id = next((row["account_id"] for row in rows if row["account_id"]), None)
        return rows if self.models is None else [*rows, {**self.models.as_log(), "account_id": account_id}]

    def _log_row(self, source: DltSource, name: str) -> dict[str, Any]:
        metrics = Metrics.of(source.resources[name].custom_metrics)
        failures = [failure for failure in self.failures if failure["resource"] == name]
        own_error = next((failure["error"] for failure in failures if not failure["parent_id"]), None)
        days = self.days_outside_band if name == EVENTS.name else ()
        return {
            "resource": name,
            "status": self.status,
            **self.resources[name],
            **{figure: getattr(metrics, figure) for figure in ("account_id", "asked_from", "asked_to")},
            "failures": len(failures),
            "new_fields": ", ".join(metrics.new_fields) or None,
            "warning": "; ".join(map(str, days)) or None,
            "error": own_error or self.error,
        }


def names_of(source: DltSource) -> list[str]:
    """The selected resources, in the order of the table of endpoints and without their companions."""
    return [name for name in BY_NAME if name in source.resources.selected]


def metrics_of(source: DltSource) -> dict[str, Metrics]:
    """What each of these resources has counted."""
    return {name: Metrics.of(source.resources[name].custom_metrics) for name in names_of(source)}


def failures_of(source: DltSource) -> list[dict[str, str]]:
    """What could not be read, as `SyncResult.failures` has it."""
    return [
        {"resource": name, **failure}
        for name, resource in source.resources.selected.items()
        for failure in Metrics.of(resource.custom_metrics).failures
    ]


def lost_resources(source: DltSource) -> dict[str, str]:
    """The resources that could not be read at all, and why."""
    return {failure["resource"]: failure["error"] for failure in failures_of(source) if not failure["parent_id"]}
