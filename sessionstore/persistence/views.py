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

Columns = dict[str, type[TypeEngine[Any]]]


def _view(name: str, **columns: type[TypeEngine[Any]]) -> Table:
    return Table(name, VIEWS, *(Column(key, kind()) for key, kind in columns.items()))


_HOUR: Columns = {
    "hour_at": Instant,
    "media_type": Text,
    "created_count": Integer,
    "started_count": Integer,
    "completed_count": Integer,
    "failed_count": Integer,
    "cancelled_count": Integer,
    "retried_count": Integer,
    "recovered_count": Integer,
    "scene_count": Integer,
    "queue_ms": BigInteger,
    "generated_count": Integer,
    "generation_ms": BigInteger,
    "timed_scene_count": Integer,
    "scene_ms": BigInteger,
    "min_scene_ms": BigInteger,
    "max_scene_ms": BigInteger,
}
_STATUS: Columns = {
    "hour_at": Instant,
    "media_type": Text,
    "status": Text,
    "left_count": Integer,
    "total_ms": BigInteger,
    "min_ms": BigInteger,
    "max_ms": BigInteger,
}
_DEPARTURE: Columns = {
    "hour_at": Instant,
    "media_type": Text,
    "reason": Text,
    "status": Text,
    "session_count": Integer,
}
# Helpers of the others, no part of the contract.
UNSUMMED_HOURS = _view("unsummed_hours", event_id=BigInteger, **_HOUR)
UNSUMMED_STATUSES = _view("unsummed_statuses", event_id=BigInteger, **_STATUS)
UNSUMMED_DEPARTURES = _view("unsummed_departures", event_id=BigInteger, **_DEPARTURE)
EVERY_HOUR = _view("every_hour", **_HOUR)
EVERY_STATUS = _view("every_status", **_STATUS)
EVERY_DEPARTURE = _view("every_departure", **_DEPARTURE)

_FLOWS: Columns = {
    "created_count": BigInteger,
    "started_count": BigInteger,
    "completed_count": BigInteger,
    "failed_count": BigInteger,
    "cancelled_count": BigInteger,
    "retried_count": BigInteger,
    "recovered_count": BigInteger,
    "scene_count": BigInteger,
    "failed_ratio": Double,
    "avg_queue_ms": Double,
    "avg_generation_ms": Double,
}
_SESSIONS = _view(
    "report_sessions",
    session_id=Text,
    status=Text,
    media_type=Text,
    wanted_scene_count=Integer,
    scene_count=Integer,
    attempt_count=Integer,
    error_message=Text,
    created_at=Instant,
    started_at=Instant,
    finished_at=Instant,
    queue_ms=BigInteger,
    generation_ms=BigInteger,
    gone_reason=Text,
    gone_at=Instant,
)
_HOURLY = _view("report_hourly", hour_at=Instant, media_type=Text, **_FLOWS)
_DAILY = _view("report_daily", day=Date, media_type=Text, **_FLOWS)
_FAILURES = _view(
    "report_failures",
    day=Date,
    media_type=Text,
    error_message=Text,
    failed_count=BigInteger,
    scene_count=BigInteger,
    attempt_count=BigInteger,
    first_failed_at=Instant,
    last_failed_at=Instant,
)
_SCENES = _view(
    "report_scenes",
    hour_at=Instant,
    media_type=Text,
    scene_count=BigInteger,
    scenes_per_minute=Double,
    avg_ms=Double,
    min_ms=BigInteger,
    max_ms=BigInteger,
)
_STATUS_DURATIONS = _view(
    "report_status_durations",
    hour_at=Instant,
    media_type=Text,
    status=Text,
    left_count=BigInteger,
    total_ms=BigInteger,
    avg_ms=Double,
    min_ms=BigInteger,
    max_ms=BigInteger,
)
_DEPARTURES = _view(
    "report_departures",
    hour_at=Instant,
    media_type=Text,
    reason=Text,
    status=Text,
    session_count=BigInteger,
)
_STUCK = _view(
    "report_stuck",
    session_id=Text,
    status=Text,
    media_type=Text,
    progress_step=Integer,
    progress_total=Integer,
    attempt_count=Integer,
    worker=Text,
    lease_expires_at=Instant,
    started_at=Instant,
    updated_at=Instant,
    quiet_ms=BigInteger,
)
_COSTS = _view(
    "report_costs",
    day=Date,
    provider=Text,
    currency=Text,
    call_count=BigInteger,
    stored_count=BigInteger,
    failed_count=BigInteger,
    cost_micros=BigInteger,
)


@dataclass(frozen=True)
class ReportView:
    """A report: its view, the column that says when, and those that order rows of one moment."""

    table: Table
    when: str
    then_by: tuple[str, ...]


REPORTS = {
    "sessions": ReportView(_SESSIONS, "created_at", ("session_id",)),
    "hourly": ReportView(_HOURLY, "hour_at", ("media_type",)),
    "daily": ReportView(_DAILY, "day", ("media_type",)),
    "failures": ReportView(_FAILURES, "day", ("failed_count", "media_type", "error_message")),
    "scenes": ReportView(_SCENES, "hour_at", ("media_type",)),
    "status_durations": ReportView(_STATUS_DURATIONS, "hour_at", ("media_type", "status")),
    "departures": ReportView(_DEPARTURES, "hour_at", ("media_type", "reason", "status")),
    "stuck": ReportView(_STUCK, "updated_at", ("session_id",)),
    "costs": ReportView(_COSTS, "day", ("provider", "currency")),
}
