"""Report: views that are a contract, and totals that stay when the rows they were counted from are gone.

Why: people ask these tables with SQL. An answer must be the same the minute after a cleanup, and must not read a
million wide rows. So events say how long what they end had lasted, and are summed up by the hour; `sessions` counts its
scenes and knows since when it has its status; what pruned tombstones and closed paid calls amounted to is kept by the
day.
Cost on a large table: rewrites `sessions` once, and reads tombstones and events once; about 20 seconds a million
sessions. What happened before is summed up from what sessions and tombstones still say of it: durations of single
statuses and scenes, and retries, are known from now on.
Can it go back: yes, forgetting the totals.
Does the previous release run on it: no, it does not count scenes.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
STATUSES = "('pending', 'processing', 'downloading', 'completed', 'failed', 'cancelled')"

HOUR, DAY = "substr({0}, 1, 13) || ':00:00.000'", "substr({0}, 1, 10) || ' 00:00:00.000'"

EVENT_FIGURES: dict[str, sa.types.TypeEngine[Any]] = {
    "hour_at": INSTANT,
    "media_type": sa.Text(),
    "left_status": sa.Text(),
    "duration_ms": sa.BigInteger(),
    "queue_ms": sa.BigInteger(),
    "generation_ms": sa.BigInteger(),
    "scene_count": sa.Integer(),
}

# A paid call counts once it is closed; until then the view adds it.
COUNT_CLOSED_CALL = f"""
    CREATE TRIGGER count_closed_call
    AFTER UPDATE OF closed_at ON provider_calls WHEN OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL BEGIN
        INSERT INTO provider_totals
        VALUES ({DAY.format("NEW.intended_at")}, NEW.provider, coalesce(NEW.currency, ''), 1,
                NEW.state = 'stored', NEW.state = 'failed', coalesce(NEW.cost_micros, 0))
        ON CONFLICT (day_at, provider, currency) DO UPDATE SET
            call_count = call_count + 1,
            stored_count = stored_count + excluded.stored_count,
            failed_count = failed_count + excluded.failed_count,
            cost_micros = cost_micros + excluded.cost_micros;
    END
"""
COUNT_CALLS_THERE_ARE = f"""
    INSERT INTO provider_totals
    SELECT {DAY.format("intended_at")}, provider, coalesce(currency, ''), count(*),
           sum(state = 'stored'), sum(state = 'failed'), sum(coalesce(cost_micros, 0))
    FROM provider_calls WHERE closed_at IS NOT NULL GROUP BY 1, 2, 3
"""

# What sessions and tombstones say of the past, in the shape of event_totals.
_EVERYONE = """
    SELECT created_at, started_at, finished_at, status, coalesce(media_type, '') AS media_type,
           queue_ms, generation_ms, NULL AS gone_at, NULL AS reason FROM sessions
    UNION ALL
    SELECT created_at, started_at, finished_at, status, coalesce(media_type, ''),
           queue_ms, generation_ms, gone_at, reason FROM session_tombstones
"""
SUM_UP_THE_PAST = (
    f"""INSERT INTO event_totals
    SELECT {HOUR.format("created_at")}, media_type, 'created', 'pending', '', count(*), 0, 0, 0, NULL, NULL, 0, 0, 0, 0
    FROM ({_EVERYONE}) GROUP BY 1, 2""",
    f"""INSERT INTO event_totals
    SELECT {HOUR.format("started_at")}, media_type, 'status_changed', 'processing', '', count(*), 0, 0, 0, NULL, NULL,
           count(queue_ms), coalesce(sum(queue_ms), 0), 0, 0
    FROM ({_EVERYONE}) WHERE started_at IS NOT NULL GROUP BY 1, 2""",
    f"""INSERT INTO event_totals
    SELECT {HOUR.format("finished_at")}, media_type, 'status_changed', status, '', count(*), 0, 0, 0, NULL, NULL,
           0, 0, count(generation_ms), coalesce(sum(generation_ms), 0)
    FROM ({_EVERYONE}) WHERE finished_at IS NOT NULL GROUP BY 1, 2, 4""",
    f"""INSERT INTO event_totals
    SELECT {HOUR.format("gone_at")}, media_type, reason, status, '', count(*), 0, 0, 0, NULL, NULL, 0, 0, 0, 0
    FROM ({_EVERYONE}) WHERE gone_at IS NOT NULL GROUP BY 1, 2, 3, 4""",
    f"""INSERT INTO event_totals
    SELECT {HOUR.format("occurred_at")}, coalesce(media_type, ''), event_type, status, '', count(*),
           sum(event_type = 'scene_added'), 0, 0, NULL, NULL, 0, 0, 0, 0
    FROM session_events
    WHERE event_type IN ('scene_added', 'scenes_set', 'updated', 'recovered') GROUP BY 1, 2, 3, 4""",
    "INSERT INTO event_totals_through SELECT coalesce(max(event_id), 0) FROM session_events",
)

# Helpers of the views, not part of the contract. Their arms are plain columns wherever a type must be known: tools take
# the type of a view's column from the column it comes from.
HELPERS = {
    # Every session there ever was, but those whose tombstones are pruned. Nothing is joined: that gives two columns
    # which only tombstones have, with their types.
    "every_session": """
        SELECT s.session_id, s.status, s.media_type, s.num_scenes, s.scenes_done, s.attempt, s.error_message,
               s.created_at, s.started_at, s.finished_at, s.queue_ms, s.generation_ms, nobody.reason, nobody.gone_at
        FROM sessions AS s LEFT JOIN session_tombstones AS nobody ON nobody.tombstone_id = -1
        UNION ALL
        SELECT session_id, status, media_type, num_scenes, scenes_done, attempt, error_message,
               created_at, started_at, finished_at, queue_ms, generation_ms, reason, gone_at
        FROM session_tombstones
    """,
    # The events that are not in event_totals yet, in its shape.
    "unsummed_events": """
        SELECT event_id, hour_at, coalesce(media_type, '') AS media_type, event_type, status,
               coalesce(left_status, '') AS left_status, 1 AS event_count, coalesce(scene_count, 0) AS scene_count,
               CASE WHEN duration_ms IS NULL THEN 0 ELSE 1 END AS duration_count,
               coalesce(duration_ms, 0) AS duration_ms, duration_ms AS shortest_ms, duration_ms AS longest_ms,
               CASE WHEN queue_ms IS NULL THEN 0 ELSE 1 END AS started_count, coalesce(queue_ms, 0) AS queue_ms,
               CASE WHEN generation_ms IS NULL THEN 0 ELSE 1 END AS generated_count,
               coalesce(generation_ms, 0) AS generation_ms
        FROM session_events WHERE event_id > (SELECT event_id FROM event_totals_through)
    """,
    # Everything that ever happened.
    "every_event": """
        SELECT hour_at, media_type, event_type, status, left_status, event_count, scene_count, duration_count,
               duration_ms, shortest_ms, longest_ms, started_count, queue_ms, generated_count, generation_ms
        FROM unsummed_events
        UNION ALL
        SELECT hour_at, media_type, event_type, status, left_status, event_count, scene_count, duration_count,
               duration_ms, shortest_ms, longest_ms, started_count, queue_ms, generated_count, generation_ms
        FROM event_totals
    """,
    # Every paid call there ever was: those that are open, and what the others amount to.
    "every_call": """
        SELECT intended_at AS day_at, provider, coalesce(currency, '') AS currency, 1 AS call_count,
               0 AS stored_count, 0 AS failed_count, coalesce(cost_micros, 0) AS cost_micros
        FROM provider_calls WHERE closed_at IS NULL
        UNION ALL
        SELECT day_at, provider, currency, call_count, stored_count, failed_count, cost_micros FROM provider_totals
    """,
}


def _count(condition: str, column: str = "event_count") -> str:
    return f"CAST(sum(CASE WHEN {condition} THEN {column} ELSE 0 END) AS BIGINT)"


def _became(status: str) -> str:
    return _count(f"event_type = 'status_changed' AND status = '{status}'")


_FINISHED = "('completed', 'failed', 'cancelled')"
_WENT_WRONG_OR_RIGHT = _count("event_type = 'status_changed' AND status IN ('completed', 'failed')")
FLOWS = f"""
    {_count("event_type = 'created'")} AS created_count,
    CAST(sum(started_count) AS BIGINT) AS started_count,
    {_became("completed")} AS completed_count,
    {_became("failed")} AS failed_count,
    {_became("cancelled")} AS cancelled_count,
    {_count(f"event_type = 'status_changed' AND left_status IN {_FINISHED} AND status NOT IN {_FINISHED}")}
        AS retried_count,
    {_count("event_type = 'recovered'")} AS recovered_count,
    CAST(sum(scene_count) AS BIGINT) AS scene_count,
    1.0 * {_became("failed")} / nullif({_WENT_WRONG_OR_RIGHT}, 0) AS failed_ratio,
    1.0 * CAST(sum(queue_ms) AS BIGINT) / nullif(CAST(sum(started_count) AS BIGINT), 0) AS avg_queue_ms,
    1.0 * CAST(sum(generation_ms) AS BIGINT) / nullif(CAST(sum(generated_count) AS BIGINT), 0) AS avg_generation_ms
"""
COUNTED = "('created', 'status_changed', 'recovered', 'scene_added', 'scenes_set')"
DURATIONS = """
    1.0 * CAST(sum(duration_ms) AS BIGINT) / nullif(CAST(sum(duration_count) AS BIGINT), 0) AS {0}avg_ms,
    CAST(min(shortest_ms) AS BIGINT) AS {0}min_ms,
    CAST(max(longest_ms) AS BIGINT) AS {0}max_ms
"""
REPORTS = {
    "report_sessions": """
        SELECT session_id, status, media_type, num_scenes AS wanted_scene_count, scenes_done AS scene_count,
               attempt AS attempt_count, error_message, created_at, started_at, finished_at, queue_ms, generation_ms,
               reason AS gone_reason, gone_at
        FROM every_session
    """,
    "report_hourly": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, {FLOWS}
        FROM every_event WHERE event_type IN {COUNTED} GROUP BY hour_at, media_type
    """,
    "report_daily": f"""
        SELECT date(hour_at) AS day, nullif(media_type, '') AS media_type, {FLOWS}
        FROM every_event WHERE event_type IN {COUNTED} GROUP BY date(hour_at), media_type
    """,
    "report_failures": """
        SELECT date(finished_at) AS day, media_type, error_message, CAST(count(*) AS BIGINT) AS failed_count,
               CAST(sum(scenes_done) AS BIGINT) AS scene_count, CAST(sum(attempt) AS BIGINT) AS attempt_count,
               min(finished_at) AS first_failed_at, max(finished_at) AS last_failed_at
        FROM every_session WHERE status = 'failed' AND finished_at IS NOT NULL
        GROUP BY date(finished_at), media_type, error_message
    """,
    "report_scenes": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, CAST(sum(scene_count) AS BIGINT) AS scene_count,
               CAST(sum(scene_count) AS BIGINT) / 60.0 AS scenes_per_minute, {DURATIONS.format("")}
        FROM every_event WHERE event_type IN ('scene_added', 'scenes_set') GROUP BY hour_at, media_type
    """,
    "report_status_durations": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, left_status AS status,
               CAST(sum(duration_count) AS BIGINT) AS left_count,
               CAST(sum(duration_ms) AS BIGINT) AS total_ms, {DURATIONS.format("")}
        FROM every_event WHERE event_type = 'status_changed' AND duration_count > 0
        GROUP BY hour_at, media_type, left_status
    """,
    "report_departures": """
        SELECT hour_at, nullif(media_type, '') AS media_type, event_type AS reason, status,
               CAST(sum(event_count) AS BIGINT) AS session_count
        FROM every_event WHERE event_type IN ('expired', 'evicted', 'removed', 'cleared')
        GROUP BY hour_at, media_type, event_type, status
    """,
    "report_stuck": """
        SELECT s.session_id, s.status, s.media_type, s.progress_step, s.progress_total, s.attempt AS attempt_count,
               r.worker, r.lease_expires_at, s.started_at, s.updated_at,
               CAST(round((julianday('now') - julianday(s.updated_at)) * 86400000) AS INTEGER) AS quiet_ms
        FROM sessions AS s LEFT JOIN runs AS r ON r.session_id = s.session_id AND r.ended_at IS NULL
        WHERE s.status = 'processing' AND s.updated_at < strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')
    """,
    "report_costs": """
        SELECT date(day_at) AS day, provider, nullif(currency, '') AS currency,
               CAST(sum(call_count) AS BIGINT) AS call_count, CAST(sum(stored_count) AS BIGINT) AS stored_count,
               CAST(sum(failed_count) AS BIGINT) AS failed_count, CAST(sum(cost_micros) AS BIGINT) AS cost_micros
        FROM every_call GROUP BY date(day_at), provider, currency
    """,
}


def upgrade() -> None:
    _rebuild_sessions(has_figures=True)
    for name, kind in EVENT_FIGURES.items():
        op.add_column("session_events", sa.Column(name, kind))
    _create_totals()
    op.create_index("ix_session_tombstones_created_at", "session_tombstones", ["created_at"])
    failed = sa.text("status = 'failed'")
    op.create_index(
        "ix_session_tombstones_failed",
        "session_tombstones",
        ["finished_at"],
        sqlite_where=failed,
        postgresql_where=failed,
    )
    for statement in SUM_UP_THE_PAST:
        op.execute(statement)
    op.execute(COUNT_CALLS_THERE_ARE)
    op.execute(COUNT_CLOSED_CALL)
    for name, query in (HELPERS | REPORTS).items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(HELPERS | REPORTS):
        op.execute(f"DROP VIEW {name}")
    op.execute("DROP TRIGGER count_closed_call")
    op.drop_index("ix_session_tombstones_failed", "session_tombstones")
    op.drop_index("ix_session_tombstones_created_at", "session_tombstones")
    for table in ("provider_totals", "session_totals", "event_totals_through", "event_totals"):
        op.drop_table(table)
    for name in reversed(EVENT_FIGURES):
        op.drop_column("session_events", name)
    _rebuild_sessions(has_figures=False)


def _create_totals() -> None:
    count, total = sa.Integer(), sa.BigInteger()
    op.create_table(
        "event_totals",
        sa.Column("hour_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("media_type", "event_type", "status", "left_status")),
        sa.Column("event_count", count, nullable=False),
        sa.Column("scene_count", count, nullable=False),
        sa.Column("duration_count", count, nullable=False),
        sa.Column("duration_ms", total, nullable=False),
        sa.Column("shortest_ms", total),
        sa.Column("longest_ms", total),
        sa.Column("started_count", count, nullable=False),
        sa.Column("queue_ms", total, nullable=False),
        sa.Column("generated_count", count, nullable=False),
        sa.Column("generation_ms", total, nullable=False),
        sa.PrimaryKeyConstraint(
            "hour_at", "media_type", "event_type", "status", "left_status", name=op.f("pk_event_totals")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "event_totals_through",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_event_totals_through")),
    )
    op.create_table(
        "session_totals",
        sa.Column("day_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("media_type", "status", "reason")),
        sa.Column("session_count", count, nullable=False),
        sa.Column("scene_count", count, nullable=False),
        sa.Column("attempt_count", count, nullable=False),
        sa.Column("started_count", count, nullable=False),
        sa.Column("queue_ms", total, nullable=False),
        sa.Column("generated_count", count, nullable=False),
        sa.Column("generation_ms", total, nullable=False),
        sa.PrimaryKeyConstraint("day_at", "media_type", "status", "reason", name=op.f("pk_session_totals")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "provider_totals",
        sa.Column("day_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("provider", "currency")),
        sa.Column("call_count", count, nullable=False),
        sa.Column("stored_count", count, nullable=False),
        sa.Column("failed_count", count, nullable=False),
        sa.Column("cost_micros", total, nullable=False),
        sa.PrimaryKeyConstraint("day_at", "provider", "currency", name=op.f("pk_provider_totals")),
        sqlite_with_rowid=False,
    )


def _rebuild_sessions(*, has_figures: bool) -> None:
    """A copy, because added columns would stand behind the wide ones, and reading them would walk through a story.

    Indexes and triggers go with the table, and are made again as they were.
    """
    connection = op.get_bind()
    dependents = connection.exec_driver_sql(
        "SELECT sql, type, name FROM sqlite_schema "
        "WHERE tbl_name = 'sessions' AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid"
    ).all()
    for _, kind, name in dependents:
        op.execute(f"DROP {kind} {name}")
    # As it was before SQLite 3.26: other tables keep referring to the name, not to the table that leaves it.
    op.execute("PRAGMA legacy_alter_table = ON")
    op.execute("ALTER TABLE sessions RENAME TO sessions_before")
    op.execute("PRAGMA legacy_alter_table = OFF")
    columns = _session_columns(has_figures=has_figures)
    op.create_table(
        "sessions",
        *columns,
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sa.CheckConstraint(f"status IN {STATUSES}", name=op.f("ck_sessions_status_known")),
        sa.CheckConstraint("progress_step <= progress_total", name=op.f("ck_sessions_progress_within_total")),
        sa.CheckConstraint("attempt >= 0 AND version >= 1", name=op.f("ck_sessions_counters_grow")),
    )
    names = [column.name for column in columns]
    known = {
        "scenes_done": "(SELECT count(*) FROM scenes WHERE scenes.session_id = sessions_before.session_id)",
        # Not known for those in between: they may have changed their status more than once.
        "status_since": "CASE status WHEN 'pending' THEN CASE WHEN started_at IS NULL THEN created_at END "
        "ELSE finished_at END",
    }
    values = [known.get(name, name) for name in names]
    op.execute(
        f"INSERT INTO sessions ({', '.join(names)}) SELECT {', '.join(values)} FROM sessions_before ORDER BY rowid"
    )
    op.drop_table("sessions_before")
    for statement, _, _ in dependents:
        connection.exec_driver_sql(statement)


def _session_columns(*, has_figures: bool) -> Sequence[sa.Column[Any]]:
    def figure(*columns: sa.Column[Any]) -> Sequence[sa.Column[Any]]:
        return columns if has_figures else ()

    return (
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text()),
        sa.Column("num_scenes", sa.Integer()),
        *figure(sa.Column("scenes_done", sa.Integer(), nullable=False)),
        sa.Column("progress_step", sa.Integer()),
        sa.Column("progress_total", sa.Integer()),
        sa.Column("progress_description", sa.Text()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_accessed", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        *figure(sa.Column("status_since", INSTANT)),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("queue_ms", sa.BigInteger()),
        sa.Column("generation_ms", sa.BigInteger()),
        sa.Column("error_message", sa.Text()),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("request_data", sa.JSON(), nullable=False),
    )
