"""The tables, as ORM classes. Column names are a public contract: people query them.

The schema of a real database comes from the migrations alone; a test compares the two. Instants are UTC to
the millisecond, durations are integer milliseconds. Wide JSON columns stand last in a row, so that reading
the others never walks through a story.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, Integer, MetaData, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sessionstore.models import GenerationStatus, RunOutcome, TombstoneReason
from sessionstore.persistence.columns import Instant, JsonText
from sessionstore.providers import CallState

# A 64-bit key that counts up on both engines: only INTEGER does on SQLite.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text(), datetime: Instant(), int: Integer(), bool: Boolean()}  # noqa: RUF012 - SQLAlchemy's name


def _one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def _only_where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class SessionRow(Base):
    """One living session. `progress_...` hold the last tick, all three NULL before the first.

    `scenes_done` counts its scenes. `status_since` is when it got its status; NULL where that was not written down yet.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint(_one_of("status", GenerationStatus), name="status_known"),
        CheckConstraint("progress_step <= progress_total", name="progress_within_total"),
        CheckConstraint("attempt >= 0 AND version >= 1", name="counters_grow"),
        Index(None, "created_at", "session_id"),
        Index(None, "status", "created_at", "session_id"),
        # Partial, as are keys below: what has no value is not in the index, and costs its writes nothing.
        Index(None, "status", "finished_at", **_only_where("finished_at IS NOT NULL")),
        Index(
            "uq_sessions_idempotency_key",
            "idempotency_key",
            unique=True,
            **_only_where("idempotency_key IS NOT NULL"),
        ),
    )

    session_id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    media_type: Mapped[str | None]
    num_scenes: Mapped[int | None]
    scenes_done: Mapped[int]
    progress_step: Mapped[int | None]
    progress_total: Mapped[int | None]
    progress_description: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)
    idempotency_key: Mapped[str | None]
    created_at: Mapped[datetime]
    last_accessed: Mapped[datetime]
    updated_at: Mapped[datetime]
    status_since: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queue_ms: Mapped[int | None] = mapped_column(BigInteger)
    generation_ms: Mapped[int | None] = mapped_column(BigInteger)
    error_message: Mapped[str | None]
    metadata_checksum: Mapped[int | None] = mapped_column(BigInteger)
    request_checksum: Mapped[int | None] = mapped_column(BigInteger)
    state_checksum: Mapped[int | None] = mapped_column(BigInteger)
    metadata_: Mapped[str] = mapped_column("metadata", JsonText())
    request_data: Mapped[str] = mapped_column(JsonText())


class SessionCountRow(Base):
    """How many living sessions have one thing in common; kept by triggers, so that counting never reads sessions.

    `counted_by` all: one row, with the sum of the creations in milliseconds since 2020 as `created_ms`. status:
    `value` is the status. created: it is the minute of the creation. quiet: that of the last write, of processing
    sessions only.
    """

    __tablename__ = "session_counts"
    __table_args__ = (
        CheckConstraint(_one_of("counted_by", ("all", "status", "created", "quiet")), name="counted_by_known"),
        {"sqlite_with_rowid": False},
    )

    counted_by: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    sessions: Mapped[int]
    created_ms: Mapped[int] = mapped_column(BigInteger)


class SceneRow(Base):
    """One saved scene; `position` keeps the order in which a session's scenes were given."""

    __tablename__ = "scenes"
    __table_args__ = (
        CheckConstraint("scene_number >= 0", name="scene_number_counts"),
        # The rows stand in the order of the key, so that saving a scene changes one page instead of two.
        {"sqlite_with_rowid": False},
    )

    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True)
    scene_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    payload: Mapped[str] = mapped_column(JsonText())
    checksum: Mapped[int | None] = mapped_column(BigInteger)


class RunRow(Base):
    """One attempt of a worker at a session. While `ended_at` is NULL the worker holds the lease.

    `run_id` is that of no other attempt, of whatever session was ever made under the same id. `process` says which
    process the worker is, in terms of its machine; NULL where the system does not tell. A crash that is forgiven does
    not count any more: the session was put back by somebody since.
    """

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint(_one_of("outcome", RunOutcome), name="outcome_known"),
        CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ends_with_an_outcome"),
        # The database itself refuses a second holder.
        Index("uq_runs_open", "session_id", unique=True, **_only_where("ended_at IS NULL")),
        {"sqlite_with_rowid": False},
    )

    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str]
    worker: Mapped[str]
    process: Mapped[str | None]
    claimed_at: Mapped[datetime]
    lease_ms: Mapped[int] = mapped_column(BigInteger)
    lease_expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    is_forgiven: Mapped[bool]


class ProviderCallRow(Base):
    """One paid call for a scene: the ledger. It outlives its session, for what was paid stays paid.

    `request` and `result` are JSON in columns of text: SQLite would make numbers of documents that are bare numbers.
    """

    __tablename__ = "provider_calls"
    __table_args__ = (
        CheckConstraint(_one_of("state", CallState), name="state_known"),
        CheckConstraint("cost_micros >= 0", name="cost_counts"),
        CheckConstraint(
            f"(closed_at IS NOT NULL) = ({_one_of('state', (each for each in CallState if not each.is_open()))})",
            name="closes_with_its_state",
        ),
        # The database itself refuses a second open call for a scene.
        Index(
            "uq_provider_calls_open",
            "session_id",
            "scene_number",
            "provider",
            unique=True,
            **_only_where("closed_at IS NULL"),
        ),
        Index("ix_provider_calls_closed_at", "closed_at"),
    )

    call_id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str]
    scene_number: Mapped[int]
    provider: Mapped[str]
    attempt: Mapped[int]
    state: Mapped[str]
    is_repeatable: Mapped[bool]
    job_id: Mapped[str | None]
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    reason: Mapped[str | None]
    intended_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime | None]
    held_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    request_fingerprint: Mapped[str]
    request: Mapped[str]
    result: Mapped[str | None]
    checksum: Mapped[int | None] = mapped_column(BigInteger)


# What the history keeps: every change but progress ticks, and the four ways to go.
RECORDED_EVENTS = (
    "created",
    "status_changed",
    "scene_added",
    "scenes_set",
    "updated",
    "recovered",
    *TombstoneReason,
)


class EventRow(Base):
    """One change of one session, in the order of commits; append-only, and it outlives its session.

    No index but the key, for every write pays for each: one of events by session was a seventh of all pages that a
    generation writes. Both `occurred_at` and the life of a session are found as a range of `event_id`.

    What each means for the reports stands in it, so that summing up asks nobody else: the hour, the session's
    `media_type`, how long (`duration_ms`) the status it left had lasted or its scene took since the one before, the
    `queue_ms` that a first start ends, the `generation_ms` that a finish ends, how many scenes were saved.
    """

    __tablename__ = "session_events"
    __table_args__ = (CheckConstraint(_one_of("event_type", RECORDED_EVENTS), name="event_type_known"),)

    event_id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    session_id: Mapped[str]
    event_type: Mapped[str]
    status: Mapped[str]
    scene_number: Mapped[int | None]
    attempt: Mapped[int]
    occurred_at: Mapped[datetime]
    hour_at: Mapped[datetime]
    media_type: Mapped[str | None]
    left_status: Mapped[str | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    queue_ms: Mapped[int | None] = mapped_column(BigInteger)
    generation_ms: Mapped[int | None] = mapped_column(BigInteger)
    scene_count: Mapped[int | None]
    checksum: Mapped[int | None] = mapped_column(BigInteger)


class HourTotalsRow(Base):
    """What happened in one hour, by the media type of the sessions; it stays when events are pruned.

    Holds the events up to the one in `events_summed_up`; later ones wait to be summed up, and the views add them. So a
    write pays for none of this, and no two writers ever wait for the same total. Here as in the other totals '' stands
    for no media type.
    """

    __tablename__ = "hour_totals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour_at: Mapped[datetime] = mapped_column(primary_key=True)
    media_type: Mapped[str] = mapped_column(primary_key=True)
    created_count: Mapped[int]
    started_count: Mapped[int]
    completed_count: Mapped[int]
    failed_count: Mapped[int]
    cancelled_count: Mapped[int]
    retried_count: Mapped[int]
    recovered_count: Mapped[int]
    scene_count: Mapped[int]
    queue_ms: Mapped[int] = mapped_column(BigInteger)
    generated_count: Mapped[int]
    generation_ms: Mapped[int] = mapped_column(BigInteger)
    timed_scene_count: Mapped[int]
    scene_ms: Mapped[int] = mapped_column(BigInteger)
    min_scene_ms: Mapped[int | None] = mapped_column(BigInteger)
    max_scene_ms: Mapped[int | None] = mapped_column(BigInteger)


class StatusTotalsRow(Base):
    """How long statuses that were left in one hour had lasted."""

    __tablename__ = "status_totals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour_at: Mapped[datetime] = mapped_column(primary_key=True)
    media_type: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    left_count: Mapped[int]
    total_ms: Mapped[int] = mapped_column(BigInteger)
    min_ms: Mapped[int] = mapped_column(BigInteger)
    max_ms: Mapped[int] = mapped_column(BigInteger)


class DepartureTotalsRow(Base):
    """How many sessions went in one hour, why, and in which status."""

    __tablename__ = "departure_totals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour_at: Mapped[datetime] = mapped_column(primary_key=True)
    media_type: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    session_count: Mapped[int]


class SummedUpRow(Base):
    """The one row that says up to which event the totals of hours go."""

    __tablename__ = "events_summed_up"

    event_id: Mapped[int] = mapped_column(RowNumber, primary_key=True)


class TombstoneRow(Base):
    """What is kept of a session that is gone: its figures, never its story."""

    __tablename__ = "session_tombstones"
    __table_args__ = (
        CheckConstraint(_one_of("reason", TombstoneReason), name="reason_known"),
        CheckConstraint(_one_of("status", GenerationStatus), name="status_known"),
        Index(None, "session_id"),
        Index(None, "gone_at"),
        Index(None, "created_at"),
        Index("ix_session_tombstones_failed", "finished_at", **_only_where("status = 'failed'")),
    )

    tombstone_id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    session_id: Mapped[str]
    reason: Mapped[str]
    status: Mapped[str]
    media_type: Mapped[str | None]
    num_scenes: Mapped[int | None]
    scenes_done: Mapped[int]
    attempt: Mapped[int]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queue_ms: Mapped[int | None] = mapped_column(BigInteger)
    generation_ms: Mapped[int | None] = mapped_column(BigInteger)
    gone_at: Mapped[datetime]
    checksum: Mapped[int | None] = mapped_column(BigInteger)


class SessionTotalsRow(Base):
    """What pruned tombstones amounted to, by the day of the creation; '' where a session had no media type."""

    __tablename__ = "session_totals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    day_at: Mapped[datetime] = mapped_column(primary_key=True)
    media_type: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    session_count: Mapped[int]
    scene_count: Mapped[int]
    attempt_count: Mapped[int]
    started_count: Mapped[int]
    queue_ms: Mapped[int] = mapped_column(BigInteger)
    generated_count: Mapped[int]
    generation_ms: Mapped[int] = mapped_column(BigInteger)


class ProviderTotalsRow(Base):
    """What closed paid calls amount to, by the day of their intention; kept by a trigger. '' for no currency."""

    __tablename__ = "provider_totals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    day_at: Mapped[datetime] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    call_count: Mapped[int]
    stored_count: Mapped[int]
    failed_count: Mapped[int]
    cost_micros: Mapped[int] = mapped_column(BigInteger)


class SetAsideRow(Base):
    """The text of something that no longer validated when its session was recovered; goes with the session."""

    __tablename__ = "set_aside"
    __table_args__ = (Index(None, "session_id"),)

    set_aside_id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.session_id", ondelete="CASCADE"))
    part: Mapped[str]
    reason: Mapped[str]
    set_aside_at: Mapped[datetime]
    content: Mapped[str]
