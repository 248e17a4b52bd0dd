"""Report: views that are a contract, and totals that stay when the rows they were counted from are gone.

Why: people ask these tables with SQL. An answer must be the same the minute after a cleanup, and must not read a
million wide rows. So events say how long what they end had lasted, and are summed up by the hour; `sessions` counts its
scenes and knows since when it has its status; what pruned tombstones and closed paid calls amounted to is kept by the
day.
Cost on a large table: rewrites `sessions` once, and reads tombstones and events once; about 40 seconds a million
sessions. What happened before is summed up from what sessions and tombstones still say of it: durations of single
statuses and scenes, and retries, are known from now on.
Can it go back: yes, forgetting the totals.
Does the previous release run on it: no. A process of it that is still open cannot create sessions, nor write anything
that leaves an event: what it wrote would be in no report, and its scenes would not be counted.
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

TOTALS = (
    *("provider_totals", "session_totals"),
    *("events_summed_up", "departure_totals", "status_totals", "hour_totals"),
)

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
# The previous release, still open in another process, would leave events of no hour and scenes that nobody counts.
REFUSE_THE_PREVIOUS_RELEASE = """
    CREATE TRIGGER refuse_event_of_no_hour
    BEFORE INSERT ON session_events WHEN NEW.hour_at IS NULL BEGIN
        SELECT RAISE(ABORT, 'the schema is ahead of this release; upgrade sessionstore');
    END
"""
KEEP_WHAT_IS_NOT_SUMMED_UP = """
    CREATE TRIGGER keep_unsummed_event
    BEFORE DELETE ON session_events WHEN OLD.event_id > (SELECT event_id FROM events_summed_up) BEGIN
        SELECT RAISE(ABORT, 'the event is in no report yet; upgrade sessionstore');
    END
"""
COUNT_CALLS_THERE_ARE = f"""
    INSERT INTO provider_totals
    SELECT {DAY.format("intended_at")}, provider, coalesce(currency, ''), count(*),
           sum(state = 'stored'), sum(state = 'failed'), sum(coalesce(cost_micros, 0))
    FROM provider_calls WHERE closed_at IS NOT NULL GROUP BY 1, 2, 3
"""

TRIGGERS = {
    "count_closed_call": COUNT_CLOSED_CALL,
    "refuse_event_of_no_hour": REFUSE_THE_PREVIOUS_RELEASE,
    "keep_unsummed_event": KEEP_WHAT_IS_NOT_SUMMED_UP,
}

# What sessions and tombstones say of the past.
_EVERYONE = """
    SELECT created_at, started_at, finished_at, status, coalesce(media_type, '') AS media_type, queue_ms, generation_ms
    FROM sessions
    UNION ALL
    SELECT created_at, started_at, finished_at, status, coalesce(media_type, ''), queue_ms, generation_ms
    FROM session_tombstones
"""
_PAST_HOURS = f"""
    SELECT {HOUR.format("created_at")} AS hour_at, media_type, 1 AS created, 0 AS started, 0 AS completed, 0 AS failed,
           0 AS cancelled, 0 AS recovered, 0 AS scenes, 0 AS queue_ms, 0 AS generated, 0 AS generation_ms
    FROM ({_EVERYONE})
    UNION ALL
    SELECT {HOUR.format("started_at")}, media_type, 0, queue_ms IS NOT NULL, 0, 0, 0, 0, 0, coalesce(queue_ms, 0), 0, 0
    FROM ({_EVERYONE}) WHERE started_at IS NOT NULL
    UNION ALL
    SELECT {HOUR.format("finished_at")}, media_type, 0, 0, status = 'completed', status = 'failed',
           status = 'cancelled', 0, 0, 0, generation_ms IS NOT NULL, coalesce(generation_ms, 0)
    FROM ({_EVERYONE}) WHERE finished_at IS NOT NULL
    UNION ALL
    SELECT {HOUR.format("occurred_at")},
           coalesce(
               (SELECT media_type FROM sessions AS s WHERE s.session_id = e.session_id),
               (SELECT media_type FROM session_tombstones AS t WHERE t.session_id = e.session_id
                ORDER BY tombstone_id DESC LIMIT 1),
               ''
           ),
           0, 0, 0, 0, 0, event_type = 'recovered', event_type = 'scene_added', 0, 0, 0
    FROM session_events AS e WHERE event_type IN ('recovered', 'scene_added')
"""
SUM_UP_THE_PAST = (
    f"""INSERT INTO hour_totals
    SELECT hour_at, media_type, sum(created), sum(started), sum(completed), sum(failed), sum(cancelled), 0,
           sum(recovered), sum(scenes), sum(queue_ms), sum(generated), sum(generation_ms), 0, 0, NULL, NULL
    FROM ({_PAST_HOURS}) GROUP BY hour_at, media_type""",
    f"""INSERT INTO departure_totals
    SELECT {HOUR.format("gone_at")}, coalesce(media_type, ''), reason, status, count(*)
    FROM session_tombstones GROUP BY 1, 2, 3, 4""",
    "INSERT INTO events_summed_up SELECT coalesce(max(event_id), 0) FROM session_events",
)


def _one_when(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


FINISHED = "('completed', 'failed', 'cancelled')"
_TIMED_SCENE = "event_type = 'scene_added' AND duration_ms IS NOT NULL"
_HOUR_FIGURES = (
    *("created_count", "started_count", "completed_count", "failed_count", "cancelled_count", "retried_count"),
    *("recovered_count", "scene_count", "queue_ms", "generated_count", "generation_ms"),
    *("timed_scene_count", "scene_ms", "min_scene_ms", "max_scene_ms"),
)
HOUR_COLUMNS = ", ".join(("hour_at", "media_type", *_HOUR_FIGURES))

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
    # What single events amount to while they are not summed up, in the shape of the totals they will be part of.
    "unsummed_hours": f"""
        SELECT event_id, hour_at, coalesce(media_type, '') AS media_type,
               {_one_when("event_type = 'created'")} AS created_count,
               {_one_when("queue_ms IS NOT NULL")} AS started_count,
               {_one_when("event_type = 'status_changed' AND status = 'completed'")} AS completed_count,
               {_one_when("event_type = 'status_changed' AND status = 'failed'")} AS failed_count,
               {_one_when("event_type = 'status_changed' AND status = 'cancelled'")} AS cancelled_count,
               {_one_when(f"left_status IN {FINISHED} AND status NOT IN {FINISHED}")} AS retried_count,
               {_one_when("event_type = 'recovered'")} AS recovered_count,
               coalesce(scene_count, 0) AS scene_count, coalesce(queue_ms, 0) AS queue_ms,
               {_one_when("generation_ms IS NOT NULL")} AS generated_count, coalesce(generation_ms, 0) AS generation_ms,
               {_one_when(f"{_TIMED_SCENE}")} AS timed_scene_count,
               CASE WHEN {_TIMED_SCENE} THEN duration_ms ELSE 0 END AS scene_ms,
               CASE WHEN {_TIMED_SCENE} THEN duration_ms END AS min_scene_ms,
               CASE WHEN {_TIMED_SCENE} THEN duration_ms END AS max_scene_ms
        FROM session_events
        WHERE event_id > (SELECT event_id FROM events_summed_up)
          AND event_type IN ('created', 'status_changed', 'recovered', 'scene_added', 'scenes_set')
    """,
    "unsummed_statuses": """
        SELECT event_id, hour_at, coalesce(media_type, '') AS media_type, left_status AS status, 1 AS left_count,
               duration_ms AS total_ms, duration_ms AS min_ms, duration_ms AS max_ms
        FROM session_events
        WHERE event_id > (SELECT event_id FROM events_summed_up)
          AND event_type = 'status_changed' AND duration_ms IS NOT NULL
    """,
    "unsummed_departures": """
        SELECT event_id, hour_at, coalesce(media_type, '') AS media_type, event_type AS reason, status,
               1 AS session_count
        FROM session_events
        WHERE event_id > (SELECT event_id FROM events_summed_up)
          AND event_type IN ('expired', 'evicted', 'removed', 'cleared')
    """,
    # Everything that ever happened.
    "every_hour": f"SELECT {HOUR_COLUMNS} FROM unsummed_hours UNION ALL SELECT {HOUR_COLUMNS} FROM hour_totals",
    "every_status": """
        SELECT hour_at, media_type, status, left_count, total_ms, min_ms, max_ms FROM unsummed_statuses
        UNION ALL
        SELECT hour_at, media_type, status, left_count, total_ms, min_ms, max_ms FROM status_totals
    """,
    "every_departure": """
        SELECT hour_at, media_type, reason, status, session_count FROM unsummed_departures
        UNION ALL
        SELECT hour_at, media_type, reason, status, session_count FROM departure_totals
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


def _sum(column: str) -> str:
    return f"CAST(sum({column}) AS BIGINT)"


def _mean(total: str, count: str) -> str:
    return f"1.0 * {_sum(total)} / nullif({_sum(count)}, 0)"


FLOWS = f"""
    {_sum("created_count")} AS created_count, {_sum("started_count")} AS started_count,
    {_sum("completed_count")} AS completed_count, {_sum("failed_count")} AS failed_count,
    {_sum("cancelled_count")} AS cancelled_count, {_sum("retried_count")} AS retried_count,
    {_sum("recovered_count")} AS recovered_count, {_sum("scene_count")} AS scene_count,
    {_mean("failed_count", "completed_count + failed_count")} AS failed_ratio,
    {_mean("queue_ms", "started_count")} AS avg_queue_ms,
    {_mean("generation_ms", "generated_count")} AS avg_generation_ms
"""
REPORTS = {
    "report_sessions": """
        SELECT session_id, status, nullif(media_type, '') AS media_type, num_scenes AS wanted_scene_count,
               scenes_done AS scene_count, attempt AS attempt_count, error_message,
               created_at, started_at, finished_at, queue_ms, generation_ms, reason AS gone_reason, gone_at
        FROM every_session
    """,
    "report_hourly": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, {FLOWS} FROM every_hour GROUP BY hour_at, media_type
    """,
    "report_daily": f"""
        SELECT date(hour_at) AS day, nullif(media_type, '') AS media_type, {FLOWS}
        FROM every_hour GROUP BY date(hour_at), media_type
    """,
    "report_failures": """
        SELECT date(finished_at) AS day, nullif(media_type, '') AS media_type, error_message,
               CAST(count(*) AS BIGINT) AS failed_count,
               CAST(sum(scenes_done) AS BIGINT) AS scene_count, CAST(sum(attempt) AS BIGINT) AS attempt_count,
               min(finished_at) AS first_failed_at, max(finished_at) AS last_failed_at
        FROM every_session WHERE status = 'failed' AND finished_at IS NOT NULL
        GROUP BY date(finished_at), nullif(media_type, ''), error_message
    """,
    "report_scenes": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, {_sum("scene_count")} AS scene_count,
               {_sum("scene_count")} / 60.0 AS scenes_per_minute, {_mean("scene_ms", "timed_scene_count")} AS avg_ms,
               CAST(min(min_scene_ms) AS BIGINT) AS min_ms, CAST(max(max_scene_ms) AS BIGINT) AS max_ms
        FROM every_hour WHERE scene_count > 0 GROUP BY hour_at, media_type
    """,
    "report_status_durations": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, status, {_sum("left_count")} AS left_count,
               {_sum("total_ms")} AS total_ms, {_mean("total_ms", "left_count")} AS avg_ms,
               CAST(min(min_ms) AS BIGINT) AS min_ms, CAST(max(max_ms) AS BIGINT) AS max_ms
        FROM every_status GROUP BY hour_at, media_type, status
    """,
    "report_departures": f"""
        SELECT hour_at, nullif(media_type, '') AS media_type, reason, status, {_sum("session_count")} AS session_count
        FROM every_departure GROUP BY hour_at, media_type, reason, status
    """,
    "report_stuck": """
        SELECT s.session_id, s.status, nullif(s.media_type, '') AS media_type, s.progress_step, s.progress_total,
               s.attempt AS attempt_count, r.worker, r.lease_expires_at, s.started_at, s.updated_at,
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
    for trigger in TRIGGERS.values():
        op.execute(trigger)
    for name, query in (HELPERS | REPORTS).items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(HELPERS | REPORTS):
        op.execute(f"DROP VIEW {name}")
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    op.drop_index("ix_session_tombstones_failed", "session_tombstones")
    op.drop_index("ix_session_tombstones_created_at", "session_tombstones")
    for table in TOTALS:
        op.drop_table(table)
    for name in reversed(EVENT_FIGURES):
        op.drop_column("session_events", name)
    _rebuild_sessions(has_figures=False)


def _create_totals() -> None:
    count, total = sa.Integer(), sa.BigInteger()
    op.create_table(
        "hour_totals",
        sa.Column("hour_at", INSTANT, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        *(
            sa.Column(name, total if name.endswith("_ms") else count, nullable=name in {"min_scene_ms", "max_scene_ms"})
            for name in _HOUR_FIGURES
        ),
        sa.PrimaryKeyConstraint("hour_at", "media_type", name=op.f("pk_hour_totals")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "status_totals",
        sa.Column("hour_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("media_type", "status")),
        sa.Column("left_count", count, nullable=False),
        *(sa.Column(name, total, nullable=False) for name in ("total_ms", "min_ms", "max_ms")),
        sa.PrimaryKeyConstraint("hour_at", "media_type", "status", name=op.f("pk_status_totals")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "departure_totals",
        sa.Column("hour_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("media_type", "reason", "status")),
        sa.Column("session_count", count, nullable=False),
        sa.PrimaryKeyConstraint("hour_at", "media_type", "reason", "status", name=op.f("pk_departure_totals")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events_summed_up",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events_summed_up")),
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
