"""Count sessions as they come and go, and drop the index that every write paid for.

Why: counting rows reads all of them; capacity, health and statistics must cost the same at a million sessions. And the
index of events by session was a seventh of all pages that a generation writes, while the events of a session lie
between its creation and its end, where `event_id` finds them.
Cost on a large table: one pass over the sessions; about two seconds a million.
Can it go back: yes.
Does the previous release run on it: yes, the database itself keeps the counts. A later migration that rebuilds
`sessions` must make the triggers again, for they go with the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Of an instant's text, since 2020: so small that the sum of forty million of them is a 64-bit integer.
MILLISECONDS = "((strftime('%s', {0}) - 1577836800) * 1000 + substr({0}, 21, 3))"

# `substr(..., 1, 16)` of an instant is its minute. Each trigger does one thing, so that a write pays only for what it
# changes. No count goes below zero, whatever a foreign program did before: it must not keep a session from going.
TRIGGERS = {
    "count_new_session": """
        AFTER INSERT ON sessions BEGIN
            INSERT INTO session_counts (counted_by, value, sessions, created_ms)
            VALUES ('all', '', 1, {new_ms}),
                   ('status', NEW.status, 1, 0),
                   ('created', substr(NEW.created_at, 1, 16), 1, 0)
            ON CONFLICT (counted_by, value)
            DO UPDATE SET sessions = sessions + 1, created_ms = created_ms + excluded.created_ms;
        END
    """,
    "discount_gone_session": """
        AFTER DELETE ON sessions BEGIN
            UPDATE session_counts SET sessions = max(sessions - 1, 0), created_ms = created_ms - {old_ms}
            WHERE counted_by = 'all';
            UPDATE session_counts SET sessions = max(sessions - 1, 0)
            WHERE counted_by = 'status' AND value = OLD.status;
            UPDATE session_counts SET sessions = sessions - 1
            WHERE counted_by = 'created' AND value = substr(OLD.created_at, 1, 16);
            DELETE FROM session_counts
            WHERE counted_by = 'created' AND value = substr(OLD.created_at, 1, 16) AND sessions <= 0;
        END
    """,
    "count_moved_session": """
        AFTER UPDATE OF created_at ON sessions WHEN NEW.created_at <> OLD.created_at BEGIN
            UPDATE session_counts SET created_ms = created_ms - {old_ms} + {new_ms} WHERE counted_by = 'all';
            UPDATE session_counts SET sessions = sessions - 1
            WHERE counted_by = 'created' AND value = substr(OLD.created_at, 1, 16);
            DELETE FROM session_counts
            WHERE counted_by = 'created' AND value = substr(OLD.created_at, 1, 16) AND sessions <= 0;
            INSERT INTO session_counts (counted_by, value, sessions, created_ms)
            VALUES ('created', substr(NEW.created_at, 1, 16), 1, 0)
            ON CONFLICT (counted_by, value) DO UPDATE SET sessions = sessions + 1;
        END
    """,
    "count_status": """
        AFTER UPDATE OF status ON sessions WHEN NEW.status <> OLD.status BEGIN
            UPDATE session_counts SET sessions = max(sessions + iif(value = NEW.status, 1, -1), 0)
            WHERE counted_by = 'status' AND value IN (NEW.status, OLD.status);
        END
    """,
    "count_new_processing": """
        AFTER INSERT ON sessions WHEN NEW.status = 'processing' BEGIN
            INSERT INTO session_counts (counted_by, value, sessions, created_ms)
            VALUES ('quiet', substr(NEW.updated_at, 1, 16), 1, 0)
            ON CONFLICT (counted_by, value) DO UPDATE SET sessions = sessions + 1;
        END
    """,
    "discount_gone_processing": """
        AFTER DELETE ON sessions WHEN OLD.status = 'processing' BEGIN
            UPDATE session_counts SET sessions = sessions - 1
            WHERE counted_by = 'quiet' AND value = substr(OLD.updated_at, 1, 16);
            DELETE FROM session_counts
            WHERE counted_by = 'quiet' AND value = substr(OLD.updated_at, 1, 16) AND sessions <= 0;
        END
    """,
    # Ticks within one minute cost these two a comparison each.
    "count_quiet": """
        AFTER UPDATE OF status, updated_at ON sessions
        WHEN NEW.status = 'processing'
            AND (OLD.status <> 'processing' OR substr(NEW.updated_at, 1, 16) <> substr(OLD.updated_at, 1, 16))
        BEGIN
            INSERT INTO session_counts (counted_by, value, sessions, created_ms)
            VALUES ('quiet', substr(NEW.updated_at, 1, 16), 1, 0)
            ON CONFLICT (counted_by, value) DO UPDATE SET sessions = sessions + 1;
        END
    """,
    "discount_quiet": """
        AFTER UPDATE OF status, updated_at ON sessions
        WHEN OLD.status = 'processing'
            AND (NEW.status <> 'processing' OR substr(NEW.updated_at, 1, 16) <> substr(OLD.updated_at, 1, 16))
        BEGIN
            UPDATE session_counts SET sessions = sessions - 1
            WHERE counted_by = 'quiet' AND value = substr(OLD.updated_at, 1, 16);
            DELETE FROM session_counts
            WHERE counted_by = 'quiet' AND value = substr(OLD.updated_at, 1, 16) AND sessions <= 0;
        END
    """,
}


def upgrade() -> None:
    op.create_table(
        "session_counts",
        sa.Column("counted_by", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("counted_by", "value", name=op.f("pk_session_counts")),
        sa.CheckConstraint(
            "counted_by IN ('all', 'status', 'created', 'quiet')", name=op.f("ck_session_counts_counted_by_known")
        ),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO session_counts "
        "SELECT 'all', '', count(*), "
        "coalesce(sum((strftime('%s', created_at) - 1577836800) * 1000 + substr(created_at, 21, 3)), 0) FROM sessions"
    )
    op.execute("INSERT INTO session_counts SELECT 'status', status, count(*), 0 FROM sessions GROUP BY status")
    # A change of status finds both of its rows.
    op.execute(
        "INSERT OR IGNORE INTO session_counts VALUES ('status', 'pending', 0, 0), ('status', 'processing', 0, 0), "
        "('status', 'downloading', 0, 0), ('status', 'completed', 0, 0), ('status', 'failed', 0, 0), "
        "('status', 'cancelled', 0, 0)"
    )
    op.execute(
        "INSERT INTO session_counts SELECT 'created', substr(created_at, 1, 16), count(*), 0 "
        "FROM sessions GROUP BY substr(created_at, 1, 16)"
    )
    op.execute(
        "INSERT INTO session_counts SELECT 'quiet', substr(updated_at, 1, 16), count(*), 0 "
        "FROM sessions WHERE status = 'processing' GROUP BY substr(updated_at, 1, 16)"
    )
    for name, body in TRIGGERS.items():
        new_ms, old_ms = MILLISECONDS.format("NEW.created_at"), MILLISECONDS.format("OLD.created_at")
        op.execute(f"CREATE TRIGGER {name} {body.format(new_ms=new_ms, old_ms=old_ms)}")
    op.drop_index("ix_session_events_session_id_event_id", "session_events")


def downgrade() -> None:
    op.create_index("ix_session_events_session_id_event_id", "session_events", ["session_id", "event_id"])
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    op.drop_table("session_counts")
