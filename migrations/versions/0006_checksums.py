"""Checksums: what is damaged on disk is not returned as right.

Why: SQLite has none. Of single bits that flip in its file, half give other data, and its own check calls it sound. So
rows of sessions, scenes, events, tombstones and paid calls get one each, which reading verifies. NULL is that of a row
that nobody has signed yet: those there are get theirs with their next write. And events must have an hour: so far a
trigger saw to that, for a quarter of what an event costs.
Cost on a large table: rewrites `sessions` and `session_events` once; 140 seconds a million sessions with 13 events
each. Nothing else is read.
Can it go back: yes, forgetting the checksums.
Does the previous release run on it: it reads. A process of it that is still open is refused to change what is signed,
for its changes would look like damage.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATUSES = "('pending', 'processing', 'downloading', 'completed', 'failed', 'cancelled')"
EVENT_TYPES = (
    "('created', 'status_changed', 'scene_added', 'scenes_set', 'updated', 'recovered', "
    "'expired', 'evicted', 'removed', 'cleared')"
)
# Of which an event consisted at first; 0005 added the others.
FIRST_EVENT_COLUMNS = 7
# Events from before 0005 have none.
HOUR = "coalesce(hour_at, substr(occurred_at, 1, 13) || ':00:00.000')"

SESSION_CHECKSUMS = ("metadata_checksum", "request_checksum", "state_checksum")
# Read as a whole, so that the checksum may stand behind the wide columns: no row is rewritten for it.
CHECKED_AS_A_WHOLE = ("scenes", "session_tombstones", "provider_calls")

NOTHING_ELSE: Mapping[str, str] = MappingProxyType({})

AHEAD = "SELECT RAISE(ABORT, 'the schema is ahead of this release; upgrade sessionstore')"
# What changes at each write of a session or a call changes its checksum too, if the writer knows of it.
TRIGGERS = {
    "refuse_unsigned_session": f"""
    CREATE TRIGGER refuse_unsigned_session
    AFTER UPDATE OF version, last_accessed ON sessions WHEN NEW.state_checksum = OLD.state_checksum BEGIN
        {AHEAD};
    END
""",
    "refuse_unsigned_call": f"""
    CREATE TRIGGER refuse_unsigned_call
    AFTER UPDATE OF state ON provider_calls WHEN NEW.checksum = OLD.checksum BEGIN
        {AHEAD};
    END
""",
}
# As 0005 made it.
REFUSE_EVENT_OF_NO_HOUR = """
    CREATE TRIGGER refuse_event_of_no_hour
    BEFORE INSERT ON session_events WHEN NEW.hour_at IS NULL BEGIN
        SELECT RAISE(ABORT, 'the schema is ahead of this release; upgrade sessionstore');
    END
"""


def upgrade() -> None:
    op.execute("DROP TRIGGER refuse_event_of_no_hour")
    _without_views(_rebuild_with_checksums)
    for table in CHECKED_AS_A_WHOLE:
        op.add_column(table, sa.Column("checksum", sa.BigInteger()))
    for trigger in TRIGGERS.values():
        op.execute(trigger)


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    for table in CHECKED_AS_A_WHOLE:
        op.drop_column(table, "checksum")
    _without_views(_rebuild_without_checksums)
    op.execute(REFUSE_EVENT_OF_NO_HOUR)


def _without_views(change: Callable[[], None]) -> None:
    """A table under a view cannot be renamed: the views are set aside, and made again as they were."""
    made_again = _set_aside("view", "1")
    change()
    for statement in made_again:
        op.get_bind().exec_driver_sql(statement)


def _set_aside(kind: str, condition: str) -> list[str]:
    """Drops what of that kind there is; the statements that make it again."""
    found = (
        op.get_bind()
        .exec_driver_sql(
            f"SELECT name, sql FROM sqlite_schema WHERE type = '{kind}' AND sql IS NOT NULL AND {condition} "
            "ORDER BY rowid"
        )
        .all()
    )
    for name, _ in reversed(found):
        op.execute(f"DROP {kind} {name}")
    return [statement for _, statement in found]


def _rebuild_with_checksums() -> None:
    # Added columns would stand behind the wide ones, and reading them would walk through a story.
    with _rebuilt("sessions"):
        _create_sessions(has_checksums=True)
    with _rebuilt("session_events", {"hour_at": HOUR}):
        columns = _event_columns(has_checksums=True)
        op.create_table("session_events", *columns, *_event_constraints())


def _rebuild_without_checksums() -> None:
    with _rebuilt("sessions"):
        _create_sessions(has_checksums=False)
    with _rebuilt("session_events"):
        first, added = FIRST_EVENT_COLUMNS, _event_columns(has_checksums=False)
        op.create_table("session_events", *added[:first], *_event_constraints())
        # One by one, as 0005 added them.
        for column in added[first:]:
            op.add_column("session_events", column)


@contextmanager
def _rebuilt(table: str, values: Mapping[str, str] = NOTHING_ELSE) -> Iterator[None]:
    """Around what makes a table anew: its rows, indexes and triggers are as they were.

    `values` are what is copied instead of the columns of these names.
    """
    made_again = [*_set_aside("index", f"tbl_name = '{table}'"), *_set_aside("trigger", f"tbl_name = '{table}'")]
    # As it was before SQLite 3.26: other tables keep referring to the name, not to the table that leaves it.
    op.execute("PRAGMA legacy_alter_table = ON")
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.execute("PRAGMA legacy_alter_table = OFF")
    yield
    kept = [name for name in _columns_of(f"{table}_before") if name in _columns_of(table)]
    copied = ", ".join(values.get(name, name) for name in kept)
    op.execute(f"INSERT INTO {table} ({', '.join(kept)}) SELECT {copied} FROM {table}_before ORDER BY rowid")
    op.drop_table(f"{table}_before")
    for statement in made_again:
        op.get_bind().exec_driver_sql(statement)


def _columns_of(table: str) -> list[str]:
    return [name for (name,) in op.get_bind().exec_driver_sql("SELECT name FROM pragma_table_info(?)", (table,))]


def _create_sessions(*, has_checksums: bool) -> None:
    checksums = [sa.Column(name, sa.BigInteger()) for name in SESSION_CHECKSUMS] if has_checksums else []
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text()),
        sa.Column("num_scenes", sa.Integer()),
        sa.Column("scenes_done", sa.Integer(), nullable=False),
        sa.Column("progress_step", sa.Integer()),
        sa.Column("progress_total", sa.Integer()),
        sa.Column("progress_description", sa.Text()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_accessed", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("status_since", INSTANT),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("queue_ms", sa.BigInteger()),
        sa.Column("generation_ms", sa.BigInteger()),
        sa.Column("error_message", sa.Text()),
        *checksums,
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("request_data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sa.CheckConstraint(f"status IN {STATUSES}", name=op.f("ck_sessions_status_known")),
        sa.CheckConstraint("progress_step <= progress_total", name=op.f("ck_sessions_progress_within_total")),
        sa.CheckConstraint("attempt >= 0 AND version >= 1", name=op.f("ck_sessions_counters_grow")),
    )


def _event_columns(*, has_checksums: bool) -> Sequence[sa.Column[Any]]:
    return (
        sa.Column("event_id", ROW_NUMBER, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("scene_number", sa.Integer()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("hour_at", INSTANT, nullable=not has_checksums),
        sa.Column("media_type", sa.Text()),
        sa.Column("left_status", sa.Text()),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("queue_ms", sa.BigInteger()),
        sa.Column("generation_ms", sa.BigInteger()),
        sa.Column("scene_count", sa.Integer()),
        *([sa.Column("checksum", sa.BigInteger())] if has_checksums else []),
    )


def _event_constraints() -> Sequence[sa.Constraint]:
    return (
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_session_events")),
        sa.CheckConstraint(f"event_type IN {EVENT_TYPES}", name=op.f("ck_session_events_event_type_known")),
    )
