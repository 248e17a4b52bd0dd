"""Create sessions, their scenes, and what was set aside of them.

Why: the living data. Wide JSON columns stand last in a row, so that reading the others never walks through a story.
Cost on a large table: none, the tables are new.
Can it go back: yes, dropping every session.
Does the previous release run on it: there is none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Milliseconds as text on SQLite: see the type of the same purpose in the code.
INSTANT = sa.DateTime(timezone=True)
STATUSES = "('pending', 'processing', 'downloading', 'completed', 'failed', 'cancelled')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # "sess": marks the file as a session store, so that it is never mistaken for another application's.
        op.execute("PRAGMA application_id = 1936028531")
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text()),
        sa.Column("num_scenes", sa.Integer()),
        sa.Column("progress_step", sa.Integer()),
        sa.Column("progress_total", sa.Integer()),
        sa.Column("progress_description", sa.Text()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_accessed", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("queue_ms", sa.BigInteger()),
        sa.Column("generation_ms", sa.BigInteger()),
        sa.Column("error_message", sa.Text()),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("request_data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sa.CheckConstraint(f"status IN {STATUSES}", name=op.f("ck_sessions_status_known")),
        sa.CheckConstraint("progress_step <= progress_total", name=op.f("ck_sessions_progress_within_total")),
        sa.CheckConstraint("attempt >= 0 AND version >= 1", name=op.f("ck_sessions_counters_grow")),
    )
    op.create_index("ix_sessions_created_at_session_id", "sessions", ["created_at", "session_id"])
    op.create_index("ix_sessions_status_created_at_session_id", "sessions", ["status", "created_at", "session_id"])
    # Partial: what has no value is not in the index, and costs its writes nothing.
    finished, keyed = sa.text("finished_at IS NOT NULL"), sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        "ix_sessions_status_finished_at",
        "sessions",
        ["status", "finished_at"],
        sqlite_where=finished,
        postgresql_where=finished,
    )
    op.create_index(
        "uq_sessions_idempotency_key",
        "sessions",
        ["idempotency_key"],
        unique=True,
        sqlite_where=keyed,
        postgresql_where=keyed,
    )
    op.create_table(
        "scenes",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("scene_number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "scene_number", name=op.f("pk_scenes")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_scenes_session_id"), ondelete="CASCADE"
        ),
        sa.CheckConstraint("scene_number >= 0", name=op.f("ck_scenes_scene_number_counts")),
        # The rows stand in the order of the key, so that saving a scene changes one page instead of two.
        sqlite_with_rowid=False,
    )
    op.create_table(
        "set_aside",
        sa.Column("set_aside_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_aside_at", INSTANT, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("set_aside_id", name=op.f("pk_set_aside")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_set_aside_session_id"), ondelete="CASCADE"
        ),
    )
    op.create_index("ix_set_aside_session_id", "set_aside", ["session_id"])


def downgrade() -> None:
    op.drop_table("set_aside")
    op.drop_table("scenes")
    op.drop_table("sessions")
