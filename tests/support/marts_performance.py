"""What the marts of medias, projects and pages must hold, computed in Python from the API's rows."""

from __future__ import annotations

from functools import cached_property
from statistics import quantiles
from typing import Any

from tests.support.mart_values import FIGURES, PAGE, grouped, moment, ratio, total
from tests.support.marts_daily import DailyMarts

Row = dict[str, Any]
Mart = dict[tuple[Any, ...], Row]


class PerformanceMarts(DailyMarts):
    """Medias and projects as a whole, their curves, who watched where."""

    @cached_property
    def performance(self) -> dict[str, Row]:
        """wistia__media_performance by media."""
        by_media = grouped(self.sessions, lambda row: row["media_id"])
        found: dict[str, Row] = {}
        for media_id in self.medias.keys() | by_media.keys():
            media, sessions = self.medias.get(media_id, {}), by_media.get(media_id, [])
            stats = self.view.media_stats(media_id) if media else {}
            measures = self.measures(sessions)
            interactions = ratio(measures["rewatch_count"] + measures["conversion_count"], len(sessions))
            score = None
            if sessions:
                score = 10 * (
                    0.4 * (measures["mean_viewed_fraction"] or 0)
                    + 0.3 * (measures["completed_fraction"] or 0)
                    + 0.2 * min(stats.get("play_rate") or 0, 1)
                    + 0.1 * min(interactions or 0, 1)
                )
            seconds = [row["watched_seconds"] for row in sessions if row["watched_seconds"] is not None]
            found[media_id] = measures | {
                "media_name": self.names.get(media_id),
                "media_type": media.get("type"),
                "project_id": media.get("project_id"),
                "project_name": media.get("project_name"),
                "duration_seconds": media.get("duration_seconds"),
                "created_at": moment(media.get("created")),
                "deleted_at": None,
                "load_count": stats.get("load_count"),
                "play_count": stats.get("play_count"),
                "hours_watched": stats.get("hours_watched"),
                "play_rate": stats.get("play_rate"),
                "engagement_fraction": stats.get("engagement"),
                "visitor_count": stats.get("visitors"),
                "mean_watched_seconds": ratio(total(seconds), len(seconds)),
                "engagement_score": score,
                **{
                    f"reached_{percent}_count": sum(
                        row["viewed_fraction"] is not None and row["viewed_fraction"] * 100 >= percent
                        for row in sessions
                    )
                    for percent in (25, 50, 75, 100)
                },
            }
        counts = [row["session_count"] for row in found.values()]
        for row in found.values():
            row["session_rank"] = 1 + sum(count > row["session_count"] for count in counts)
        return found

    def wistia__media_performance(self) -> Mart:
        """One row per media."""
        return {(media_id,): row for media_id, row in self.performance.items()}

    def wistia__project_performance(self) -> Mart:
        """One row per project."""
        found: Mart = {}
        for project in self.view.projects():
            medias = {
                media_id: row
                for media_id, row in self.performance.items()
                if row["project_id"] == project["hashedId"] and row["session_count"]
            }
            row: Row = {
                "project_name": project["name"],
                "deleted_at": None,
                "media_count": project["mediaCount"],
                "watched_media_count": len(medias),
                "session_count": sum(media["session_count"] for media in medias.values()),
                "watched_hours": total(media["watched_hours"] for media in medias.values()),
                **{name: self.view.project_stats(project["hashedId"])[name] for name in FIGURES},
            }
            for figure in ("completed_fraction", "engagement_score", "watched_hours"):
                values = sorted(media[figure] for media in medias.values() if media[figure] is not None)
                spread = [None] * 3
                if values:
                    spread = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
                row[f"{figure}_min"] = values[0] if values else None
                for name, value in zip(("quartile_1", "median", "quartile_3"), spread, strict=True):
                    row[f"{figure}_{name}"] = value
                row[f"{figure}_max"] = values[-1] if values else None
            order = {id_: (-own["engagement_score"], -own["session_count"], id_) for id_, own in medias.items()}
            best = sorted(medias, key=order.__getitem__)
            row["best_medias"] = [
                {name: medias[id_][name] for name in ("media_name", "engagement_score")} | {"media_id": id_}
                for id_ in best[:5]
            ] or None
            found[project["hashedId"],] = row
        return found

    @cached_property
    def curves(self) -> dict[str, list[Row]]:
        """wistia__media_engagement_curve by media."""
        found: dict[str, list[Row]] = {}
        for media_id, media in self.medias.items():
            engagement = self.view.media_engagement(media_id)
            views, rewatches = engagement["engagement_data"], engagement["rewatch_data"]
            duration = media["duration_seconds"]
            seconds = duration / len(views) if views and duration is not None and duration > 1000 else 1.0
            found[media_id] = [
                {
                    "media_name": media["name"],
                    "start_seconds": position * seconds,
                    "cell_seconds": seconds,
                    "view_count": count,
                    "rewatch_count": rewatches[position] if position < len(rewatches) else 0,
                    "retained_fraction": ratio(count, views[0]),
                }
                for position, count in enumerate(views)
            ]
        return found

    def wistia__media_engagement_curve(self) -> Mart:
        """One row per media and cell."""
        return {
            (media_id, position): row for media_id, curve in self.curves.items() for position, row in enumerate(curve)
        }

    def wistia__media_dropoff(self) -> Mart:
        """One row per media, kind and rank."""
        found: Mart = {}
        for media_id, curve in self.curves.items():
            losses = []
            for position in range(1, len(curve)):
                before, here = curve[position - 1]["retained_fraction"], curve[position]["retained_fraction"]
                if before is not None and before > here:
                    losses.append((here - before, position))
            again = [
                (-cell["rewatch_count"] / cell["view_count"], position)
                for position, cell in enumerate(curve)
                if cell["view_count"] and cell["rewatch_count"]
            ]
            for kind, places in (("loss", losses), ("rewatch", again)):
                for rank, (strength, position) in enumerate(sorted(places)[:5], 1):
                    found[media_id, kind, rank] = {
                        "position": position,
                        "lost_fraction": -strength if kind == "loss" else None,
                        "rewatch_fraction": -strength if kind == "rewatch" else None,
                        **{
                            name: curve[position][name]
                            for name in ("media_name", "start_seconds", "cell_seconds", "retained_fraction")
                        },
                    }
        return found

    def wistia__audience_daily(self) -> Mart:
        """One row per day, media and kind of viewer."""
        names = ("country", "device_class", "browser", "platform")
        groups = grouped(
            self.sessions,
            lambda row: (row["media_id"], row["session_date"], *(row[name] or "unknown" for name in names)),
        )
        return {
            (day, media_id, *rest): self.measures(sessions) | {"media_name": sessions[0]["media_name"]}
            for (media_id, day, *rest), sessions in groups.items()
        }

    def wistia__embed_pages(self) -> Mart:
        """One row per media and page."""
        groups = grouped(self.sessions, lambda row: (row["media_id"], *(row[name] for name in PAGE)))
        return {
            key: self.measures(sessions)
            | {
                "media_name": sessions[0]["media_name"],
                "first_session_at": min(row["received_at"] for row in sessions),
                "last_session_at": max(row["received_at"] for row in sessions),
            }
            for key, sessions in groups.items()
        }
