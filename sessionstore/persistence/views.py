"""The views, as tables that can be selected from. Their columns are a public contract: new ones are only appended.

They have a MetaData of their own, or Alembic's autogenerate would make tables of them. What they select stands in the
migrations; a test compares their columns.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Date, Double, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

from sessionstore.persistence.columns import Instant

VIEWS = MetaData()


def _view(name: str, **columns: type[TypeEngine[Any]]) -> Table:
    return Table(name, VIEWS, *(Column(key, kind()) for key, kind in columns.items()))


_HOURS = {
    "hour_at": Instant,
    "media_type": Text,
    **dict.fromkeys(
        (
            *("created_count", "started_count", "completed_count", "failed_count", "cancelled_count", "retried_count"),
            *("recovered_count", "scene_count"),
        ),
        Integer,
    ),
    "queue_ms": BigInteger,
    "generated_count": Integer,
    "generation_ms": BigInteger,
    "timed_scene_count": Integer,
    **dict.fromkeys(("scene_ms", "min_scene_ms", "max_scene_ms"), BigInteger),
}
_STATUSES = {
    "hour_at": Instant,
    **dict.fromkeys(("media_type", "status"), Text),
    "left_count": Integer,
    **dict.fromkeys(("total_ms", "min_ms", "max_ms"), BigInteger),
}
_DEPARTURES = {
    "hour_at": Instant,
    **dict.fromkeys(("media_type", "reason", "status"), Text),
    "session_count": Integer,
}
# Helpers of the others, no part of the contract.
UNSUMMED_HOURS = _view("unsummed_hours", event_id=BigInteger, **_HOURS)
UNSUMMED_STATUSES = _view("unsummed_statuses", event_id=BigInteger, **_STATUSES)
UNSUMMED_DEPARTURES = _view("unsummed_departures", event_id=BigInteger, **_DEPARTURES)
EVERY_HOUR = _view("every_hour", **_HOURS)
EVERY_STATUS = _view("every_status", **_STATUSES)
EVERY_DEPARTURE = _view("every_departure", **_DEPARTURES)

_FLOWS = {
    **dict.fromkeys(
        (
            *("created_count", "started_count", "completed_count", "failed_count", "cancelled_count"),
            *("retried_count", "recovered_count", "scene_count"),
        ),
        BigInteger,
    ),
    **dict.fromkeys(("failed_ratio", "avg_queue_ms", "avg_generation_ms"), Double),
}
_DURATIONS = {"avg_ms": Double, "min_ms": BigInteger, "max_ms": BigInteger}


@dataclass(frozen=True)
class ReportView:
    """A report: its view, the column that says when, and those that order rows of one moment."""

    table: Table
    when: str
    then_by: tuple[str, ...]


REPORTS = {
    "sessions": ReportView(
        _view(
            "report_sessions",
            **dict.fromkeys(("session_id", "status", "media_type"), Text),
            **dict.fromkeys(("wanted_scene_count", "scene_count", "attempt_count"), Integer),
            error_message=Text,
            **dict.fromkeys(("created_at", "started_at", "finished_at"), Instant),
            **dict.fromkeys(("queue_ms", "generation_ms"), BigInteger),
            gone_reason=Text,
            gone_at=Instant,
        ),
        "created_at",
        ("session_id",),
    ),
    "hourly": ReportView(
        _view("report_hourly", hour_at=Instant, media_type=Text, **_FLOWS), "hour_at", ("media_type",)
    ),
    "daily": ReportView(_view("report_daily", day=Date, media_type=Text, **_FLOWS), "day", ("media_type",)),
    "failures": ReportView(
        _view(
            "report_failures",
            day=Date,
            **dict.fromkeys(("media_type", "error_message"), Text),
            **dict.fromkeys(("failed_count", "scene_count", "attempt_count"), BigInteger),
            **dict.fromkeys(("first_failed_at", "last_failed_at"), Instant),
        ),
        "day",
        ("failed_count", "media_type", "error_message"),
    ),
    "scenes": ReportView(
        _view(
            "report_scenes",
            hour_at=Instant,
            media_type=Text,
            scene_count=BigInteger,
            scenes_per_minute=Double,
            **_DURATIONS,
        ),
        "hour_at",
        ("media_type",),
    ),
    "status_durations": ReportView(
        _view(
            "report_status_durations",
            hour_at=Instant,
            **dict.fromkeys(("media_type", "status"), Text),
            **dict.fromkeys(("left_count", "total_ms"), BigInteger),
            **_DURATIONS,
        ),
        "hour_at",
        ("media_type", "status"),
    ),
    "departures": ReportView(
        _view(
            "report_departures",
            hour_at=Instant,
            **dict.fromkeys(("media_type", "reason", "status"), Text),
            session_count=BigInteger,
        ),
        "hour_at",
        ("media_type", "reason", "status"),
    ),
    "stuck": ReportView(
        _view(
            "report_stuck",
            **dict.fromkeys(("session_id", "status", "media_type"), Text),
            **dict.fromkeys(("progress_step", "progress_total", "attempt_count"), Integer),
            worker=Text,
            **dict.fromkeys(("lease_expires_at", "started_at", "updated_at"), Instant),
            quiet_ms=BigInteger,
        ),
        "updated_at",
        ("session_id",),
    ),
    "costs": ReportView(
        _view(
            "report_costs",
            day=Date,
            **dict.fromkeys(("provider", "currency"), Text),
            **dict.fromkeys(("call_count", "stored_count", "failed_count", "cost_micros"), BigInteger),
        ),
        "day",
        ("provider", "currency"),
    ),
}
