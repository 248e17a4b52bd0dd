"""Track runs: who works on a session, until when that holds, and what was bought for its scenes.

Why: a worker that dies must not leave its session processing for ever, one that was taken for dead must not write any
more, and a call that costs money must not be made twice.
Cost on a large table: none, the tables are new. Sessions that are being processed have no run: whoever works on them
goes on, and they are claimed by name.
Can it go back: yes, forgetting leases and the ledger.
Does the previous release run on it: yes, but it neither claims nor respects a lease.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
OUTCOMES = "('completed', 'failed', 'cancelled', 'released', 'crashed')"
STATES = "('intended', 'submitted', 'fetched', 'stored', 'held', 'failed', 'not_sent', 'abandoned')"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("process", sa.Text()),
        sa.Column("claimed_at", INSTANT, nullable=False),
        sa.Column("lease_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("outcome", sa.Text()),
        sa.Column("is_forgiven", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "attempt", name=op.f("pk_runs")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_runs_session_id"), ondelete="CASCADE"
        ),
        sa.CheckConstraint(f"outcome IN {OUTCOMES}", name=op.f("ck_runs_outcome_known")),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("ck_runs_ends_with_an_outcome")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "uq_runs_open",
        "runs",
        ["session_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "provider_calls",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("scene_number", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_repeatable", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("cost_micros", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("intended_at", INSTANT, nullable=False),
        sa.Column("submitted_at", INSTANT),
        sa.Column("fetched_at", INSTANT),
        sa.Column("held_at", INSTANT),
        sa.Column("closed_at", INSTANT),
        sa.Column("request_fingerprint", sa.Text(), nullable=False),
        # Text: in a column declared JSON, SQLite turns a document that is a bare number into a number.
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("result", sa.Text()),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_provider_calls")),
        sa.CheckConstraint(f"state IN {STATES}", name=op.f("ck_provider_calls_state_known")),
        sa.CheckConstraint("cost_micros >= 0", name=op.f("ck_provider_calls_cost_counts")),
        sa.CheckConstraint(
            "(closed_at IS NOT NULL) = (state IN ('stored', 'failed', 'not_sent', 'abandoned'))",
            name=op.f("ck_provider_calls_closes_with_its_state"),
        ),
    )
    op.create_index(
        "uq_provider_calls_open",
        "provider_calls",
        ["session_id", "scene_number", "provider"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("ix_provider_calls_closed_at", "provider_calls", ["closed_at"])


def downgrade() -> None:
    op.drop_table("provider_calls")
    op.drop_table("runs")
