"""Create the history: events, and tombstones of sessions that are gone.

Why: reports and "where did my session go" need what the living rows forget.
Cost on a large table: none, the tables are new. Sessions that are there get no events of their past.
Can it go back: yes, dropping the history.
Does the previous release run on it: yes, it leaves the new tables alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATUSES = "('pending', 'processing', 'downloading', 'completed', 'failed', 'cancelled')"
REASONS = "('expired', 'evicted', 'removed', 'cleared')"
EVENT_TYPES = (
    "('created', 'status_changed', 'scene_added', 'scenes_set', 'updated', 'recovered', "
    "'expired', 'evicted', 'removed', 'cleared')"
)


def upgrade() -> None:
    op.create_table(
        "session_events",
        sa.Column("event_id", ROW_NUMBER, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("scene_number", sa.Integer()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_session_events")),
        sa.CheckConstraint(f"event_type IN {EVENT_TYPES}", name=op.f("ck_session_events_event_type_known")),
    )
    op.create_index("ix_session_events_session_id_event_id", "session_events", ["session_id", "event_id"])
    op.create_table(
        "session_tombstones",
        sa.Column("tombstone_id", ROW_NUMBER, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text()),
        sa.Column("num_scenes", sa.Integer()),
        sa.Column("scenes_done", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("queue_ms", sa.BigInteger()),
        sa.Column("generation_ms", sa.BigInteger()),
        sa.Column("gone_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tombstone_id", name=op.f("pk_session_tombstones")),
        sa.CheckConstraint(f"reason IN {REASONS}", name=op.f("ck_session_tombstones_reason_known")),
        sa.CheckConstraint(f"status IN {STATUSES}", name=op.f("ck_session_tombstones_status_known")),
    )
    op.create_index("ix_session_tombstones_session_id", "session_tombstones", ["session_id"])
    op.create_index("ix_session_tombstones_gone_at", "session_tombstones", ["gone_at"])


def downgrade() -> None:
    op.drop_table("session_tombstones")
    op.drop_table("session_events")
