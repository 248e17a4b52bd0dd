"""The façade: every promise of the store as one method, each handing over to the room that keeps it."""

import atexit
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast, overload

from sessionstore.clock import Clock
from sessionstore.figures import StoreMetrics
from sessionstore.models import (
    EveryProcessCallback,
    Finding,
    GenerationRequest,
    GenerationSession,
    GenerationStatus,
    Report,
    RequestT,
    ScenePrompt,
    SceneT,
    SessionCallback,
    SessionPage,
    Tombstone,
)
from sessionstore.operations import (
    cancelling,
    checking,
    claiming,
    copies,
    held,
    locking,
    metrics,
    recovery,
    repairing,
    reporting,
    retention,
    scenes,
    sessions,
    statistics,
    watching,
)
from sessionstore.operations.run import GenerationRun
from sessionstore.operations.store import Store
from sessionstore.operations.upkeep import Upkeep
from sessionstore.operations.watching import SessionWatch
from sessionstore.providers import ProviderCall
from sessionstore.settings import Settings, load_settings

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Unset(int):
    """The default of a setting: the number it shows, told apart from the same number given by a caller."""


_DEFAULT_MAX_SESSIONS = _Unset(100)
_DEFAULT_CLEANUP_INTERVAL = _Unset(3600)


class SessionManager(Generic[RequestT, SceneT]):
    """A durable store of generation sessions. Every method may be called from any thread.

    A write is on disk when its method returns (with `durability="normal"`: safe from a crash of the process,
    but a power cut may lose the last ones). Sessions that are returned are snapshots.

    Unless a method says otherwise it raises ValueError or TypeError, naming the argument, for what cannot be
    stored (nothing is changed then); SessionLockError when it could not write within `lock_timeout` seconds;
    DatabaseUnavailableError when the database fails; SessionCorruptedError when what is stored for a session no
    longer validates; and ManagerClosedError after `shutdown`.
    """

    def __init__(
        self,
        max_sessions: int | None = _DEFAULT_MAX_SESSIONS,
        cleanup_interval: float | None = _DEFAULT_CLEANUP_INTERVAL,
        *,
        database_url: str | None = None,
        settings: Settings | None = None,
        request_model: type[RequestT] = GenerationRequest,  # type: ignore[assignment]  # PEP 696 default
        scene_model: type[SceneT] = ScenePrompt,  # type: ignore[assignment]  # PEP 696 default
        clock: Clock | None = None,
        **overrides: Any,
    ) -> None:
        """Opens the database, makes or migrates its schema, and starts the scheduled cleanup.

        Each setting comes from the arguments, else from `settings`, or without those from the environment
        (`SESSIONSTORE_...`), else from its default. `max_sessions=None` is unbounded; `cleanup_interval` is in
        seconds, None for no scheduled cleanup; `overrides` are fields of `Settings`. Requests and scenes are
        stored and returned as `request_model` and `scene_model`. `clock` returns an aware datetime.

        Raises:
            ValueError: for a setting, variable or URL that cannot be used, naming it.
            DatabaseUnavailableError: when there is no usable database at the URL.
            SchemaError: when its schema is ahead of the code, or behind and `auto_migrate` is false.
        """
        given = overrides | {
            name: value
            for name, value in (("max_sessions", max_sessions), ("cleanup_interval", cleanup_interval))
            if not isinstance(value, _Unset)
        }
        if database_url is not None:
            given["database_url"] = database_url
        self._store = Store(
            load_settings(settings, **given),
            request_model=request_model,
            scene_model=scene_model,
            clock=clock,
        )
        self._upkeep = Upkeep(self._store)

    @classmethod
    def create_with_config(cls, config: object) -> Self:
        """A manager from an object or mapping whose attributes or keys are named like settings; others are ignored."""
        return cls(settings=load_settings(**_settings_in(config)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._upkeep.leave():
            logger.warning("running calls took too long to wait for; the store is left open, and their sessions held")

    def __repr__(self) -> str:
        return f"<SessionManager on {self._store.engine}>"

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._store.settings

    # Sessions

    def create_session(
        self,
        request: RequestT | Mapping[str, Any],
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """A new pending session; returns its id, a UUIDv7 unless `session_id` is given.

        The same `idempotency_key` (or `session_id`) with the same request gives the same session again, so a
        creation whose outcome is unknown can be repeated; a key lives as long as its session. When the store is
        full, expired sessions go first, then by the setting `eviction`.

        Raises:
            IdempotencyConflictError: when the key or id belongs to a session made from another request.
            SessionCapacityError: when the store is full and nothing may be evicted.
        """
        return sessions.create(self._store, request, session_id, metadata, idempotency_key)

    def get_session(self, session_id: str) -> GenerationSession[RequestT, SceneT] | None:
        """The session with its scenes and progress, from one snapshot; None, and a warning in the log, when absent.

        Waits for no writer. The access time is saved later, within `touch_interval` seconds.
        """
        return sessions.get(self._store, session_id)

    def update_session_status(
        self,
        session_id: str,
        status: GenerationStatus | str,
        error_message: str | None = None,
        *,
        expected_status: GenerationStatus | str | None = None,
    ) -> bool:
        """Changes the status; False when the session is absent or not in `expected_status`.

        The first active status sets `started_at`, a terminal one `finished_at`. Leaving a terminal status takes
        `finished_at` and the error message back; otherwise `error_message=None` leaves the message as it is.
        """
        return sessions.update_status(self._store, session_id, status, error_message, expected_status)

    def update_session_progress(self, session_id: str, current_step: int, total_steps: int, description: str) -> bool:
        """Replaces the progress; False when the session is absent."""
        return sessions.update_progress(self._store, session_id, current_step, total_steps, description)

    def remove_session(self, session_id: str) -> bool:
        """Deletes the session and its scenes, leaving a tombstone; False when it is absent."""
        return sessions.remove(self._store, session_id)

    def get_session_count(self) -> int:
        """How many sessions there are."""
        return statistics.count(self._store)

    def get_all_sessions_info(self) -> list[dict[str, Any]]:
        """A dictionary for each session, oldest first, without its texts.

        Keys: session_id, status, created_at, last_accessed (ISO text), age_hours, num_scenes (saved ones),
        progress (per cent). One statement, whatever the number of sessions.
        """
        return sessions.list_infos(self._store)

    def get_sessions_by_status(self, status: GenerationStatus | str) -> list[GenerationSession[RequestT, SceneT]]:
        """All sessions of one status, oldest first, in two statements."""
        return sessions.list_by_status(self._store, status)

    def list_sessions(
        self,
        *,
        status: GenerationStatus | str | None = None,
        media_type: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> SessionPage[RequestT, SceneT]:
        """A page of at most `limit` (1 to the setting `max_page_sessions`, 1,000) sessions, newest first.

        Give `next_cursor` of a page as `cursor` to get the one after it, with the same filters. A page costs the
        same wherever it lies, and sessions made or removed meanwhile shift nothing. Both instants are exclusive.
        """
        return sessions.list_page(self._store, status, media_type, created_after, created_before, limit, cursor)

    def find_tombstone(self, session_id: str) -> Tombstone | None:
        """Why and when a session went, with its figures (the newest time, if more than once); None if never."""
        return sessions.find_tombstone(self._store, session_id)

    # Scenes

    def add_scene_to_session(self, session_id: str, scene: SceneT | Mapping[str, Any]) -> bool:
        """Saves a scene behind the others, or in the place of the one with its number; False when absent."""
        return scenes.add(self._store, session_id, scene)

    def set_session_scenes(self, session_id: str, scenes_: Iterable[SceneT | Mapping[str, Any]]) -> bool:
        """Makes these, in this order, all the scenes of the session; False when it is absent.

        Raises:
            ValueError: also when a scene number is given twice.
        """
        return scenes.replace_all(self._store, session_id, scenes_)

    # Tracking: who works on what

    def claim_next_session(self, worker: str, *, lease_seconds: float = 60) -> GenerationRun[RequestT, SceneT] | None:
        """Claims the oldest pending session for `worker`; None when there is none.

        Each goes to exactly one caller, of whatever thread or process. The session is processing then, and its
        `attempt` one higher. One that this manager's models cannot read is passed over, with a warning in the log. The
        lease (1 to 86,400 seconds) is renewed by a thread for as long as the run exists.
        """
        return claiming.claim_next(self._store, worker, lease_seconds)

    def track(self, session_id: str, worker: str, *, lease_seconds: float = 60) -> GenerationRun[RequestT, SceneT]:
        """Claims this session for `worker`: one that is pending, or active under no lease.

        Raises:
            LeaseHeldError: when somebody works on it, naming the worker; the same one, too.
            SessionNotFoundError: when it is absent.
            SessionFinishedError: when it is completed, failed or cancelled.
        """
        return claiming.track(self._store, session_id, worker, lease_seconds, self._upkeep.recover_dead)

    def recover_interrupted_sessions(self) -> int:
        """Puts sessions whose worker is gone back to pending, or fails those after `max_attempts`; how many.

        At once when the worker's process died on this machine. Otherwise when its lease has run out, it did not
        renew it within a second either, and the database was there for a lease period. Runs by itself at start and
        every `recovery_interval` seconds.
        """
        return self._upkeep.recover()

    def cancel_session(self, session_id: str) -> bool:
        """Cancels a session that is not finished: a pending one never starts, a run of it can write no more.

        True when it is cancelled now, by this call or before; False when it is absent, completed or failed.
        """
        return cancelling.cancel(self._store, session_id)

    def retry_session(self, session_id: str, scenes: Iterable[int] | None = None) -> bool:
        """Puts a failed or cancelled session back to pending; what was saved of it stays.

        Scenes of the numbers `scenes` are made again, and paid again: what was saved of them goes to table
        `set_aside`, and their open paid calls are abandoned. With them, a completed session can be put back too.
        False when it is absent, or in none of these statuses.

        Raises:
            ValueError: also for a scene that is neither saved nor one of 1 to `num_scenes`.
        """
        return cancelling.retry(self._store, session_id, scenes)

    def list_held_calls(self) -> list[ProviderCall]:
        """Paid calls of which it is not known whether they were made, the longest held first.

        Their sessions have failed, and neither expire nor are evicted meanwhile.
        """
        return held.list_held(self._store)

    def attach_job(self, call_id: str, job_id: str) -> bool:
        """Says that a held call was made, as that job, which is asked for its result from now on.

        With its last held call decided, a failed session is pending again. False when the call is not held.
        """
        return held.attach_job(self._store, call_id, job_id)

    def allow_retry(self, call_id: str) -> bool:
        """Gives leave to make a held call again: under its key, where the provider takes one. Else as `attach_job`."""
        return held.allow_retry(self._store, call_id)

    # Several things at once

    def with_session_lock(self, session_id: str, operation: Callable[[GenerationSession[RequestT, SceneT]], T]) -> T:
        """Runs `operation(session)` while nobody else can write, saves what it changed, and returns its result.

        If it raises, nothing is saved. Calls of this manager inside it, by the same thread, join the
        transaction. On SQLite it holds up every writer: keep it short, and no calls to other services in it.

        Raises:
            SessionNotFoundError: when the session is absent.
            SessionLockError: when the lock was not free within `lock_timeout` seconds.
        """
        return locking.with_session_lock(self._store, session_id, operation)

    def atomic_session_update(self, session_id: str, updates: Mapping[str, Any]) -> bool:
        """Saves several of status, request_data, scenes, progress, error_message, metadata, all or nothing.

        Other keys are ignored with a warning, `session_id` and `created_at` among them. False when absent.
        """
        return locking.update_atomically(self._store, session_id, updates)

    def bulk_update_sessions(
        self,
        session_ids: Iterable[str],
        operation: Callable[[GenerationSession[RequestT, SceneT]], object],
    ) -> int:
        """Runs `operation` on each session in one transaction; how many succeeded.

        One that raises, or is absent, is logged and left as it was.
        """
        return locking.update_in_bulk(self._store, session_ids, operation)

    def transaction(self) -> AbstractContextManager[None]:
        """Whatever the thread does with this manager inside the block commits together, or not at all.

        Callbacks come after the commit. On SQLite it holds up every other writer meanwhile.
        """
        return self._store.engine.transaction()

    # Retention

    def cleanup_expired_sessions(self, max_age_hours: float | None = None) -> int:
        """Removes what is expired, in batches, each session leaving a tombstone; how many went.

        Unfinished sessions expire `max_age_hours` after creation (None: the setting `session_max_age_hours`, 24),
        finished ones by the settings `failed_`, `completed_` and `cancelled_retention_hours` after the finish.
        """
        return retention.clean_up_expired(self._store, max_age_hours)

    def count_expired_sessions(self, max_age_hours: float | None = None) -> int:
        """How many sessions `cleanup_expired_sessions` would remove now."""
        return retention.count_expired(self._store, max_age_hours)

    def cleanup_failed_sessions(self) -> int:
        """Removes failed sessions, however young; how many went. Those with held calls stay (`list_held_calls`)."""
        return retention.clean_up_failed(self._store)

    def cleanup_completed_sessions(self, max_age_hours: float = 6) -> int:
        """Removes sessions completed longer ago than that; how many went."""
        return retention.clean_up_completed(self._store, max_age_hours)

    def force_cleanup_all(self) -> int:
        """Removes every session; how many went."""
        return retention.clear(self._store)

    # How it stands

    def get_performance_stats(self) -> dict[str, Any]:
        """Counts, ages in hours, and utilization, aggregated by the database from one snapshot.

        Keys: total_sessions, max_capacity (None when unbounded), utilization_percent, status_breakdown,
        age_distribution (under_1h, 1h_to_6h, 6h_to_24h, over_24h), average_age_hours, oldest_session_hours,
        newest_session_hours.
        """
        return statistics.performance(self._store)

    def get_health_status(self) -> dict[str, str]:
        """The state of the store in words.

        Keys: overall_health (healthy below 70 % of the capacity, warning below 90 %, else critical),
        session_count, utilization_percent ("12.0%"), stuck_sessions (processing, and nothing written for
        `stuck_after_minutes`), cleanup_active (yes or no).
        """
        return statistics.health(self._store, cleanup_active=self._upkeep.is_cleaning_up())

    def get_metrics(self) -> StoreMetrics:
        """Numbers for a monitoring system: how the store stands, and what ever happened in it; from one snapshot.

        What `sessionstore.metrics.SessionStoreCollector` gives to Prometheus. Waits for no writer. Adds up the
        totals of every hour, an eighth of a second for a year in which three media types were busy every hour.
        """
        return metrics.measure(self._store)

    def report(
        self,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        media_type: str | None = None,
        session_id: str | None = None,
        limit: int | None = None,
    ) -> Report:
        """A report as rows, the oldest first; what happened or was created from `since` on and before `until`.

        sessions, hourly, daily, failures, scenes, status_durations, departures, stuck and costs are the views
        `report_...`, with their columns; sessions that are gone are in them too. An hour or day that the window touches
        is in it whole. `limit` keeps the newest rows only. durations has percentiles of queue and generation time by
        media type, distribution the same as classes: how many sessions took up to so many ms, and more than the class
        before. timeline has the statuses that `session_id` went through, as far back as events are kept. Waits for no
        writer.

        Raises:
            SessionNotFoundError: when timeline is asked for a session that never was.
        """
        return reporting.report(self._store, name, since, until, media_type, session_id, limit)

    def check(self, *, deep: bool = False) -> list[Finding]:
        """Examines the database and what it stands on; waits for no writer. Each finding says what to do about it.

        Up to 64 MB everything is read. Of a larger database only the newest sessions are, so that the answer comes
        within seconds; `deep` reads every page and row all the same. docs/operations.md lists the findings.

        Raises:
            DatabaseUnavailableError: when the file is not there any more, or is another one.
        """
        return checking.check(self._store, deep=deep)

    def repair(self) -> list[Finding]:
        """Mends what can be mended without losing anything, then examines everything; `repaired` says what was mended.

        That is: the mode of the files, counts, indexes that disagree with their tables, a WAL that has grown, and
        files that interrupted copies left. Sessions are never touched.

        Raises:
            SessionManagerError: inside a transaction of the same thread.
            DatabaseUnavailableError, SessionLockError: as other writes do.
        """
        return repairing.repair(self._store)

    def backup(self, path: str | Path, progress: Callable[[int, int], object] | None = None) -> None:
        """An exact copy in a new file, consistent and synced, while the store is in use.

        `progress` is called with the bytes that are copied and those there are; what it raises ends the copying, and
        nothing is left of it.

        Raises:
            DatabaseUnavailableError: also when there is something at `path` already.
        """
        copies.back_up(self._store, path, progress)

    def snapshot(self, path: str | Path) -> None:
        """A compact copy in a new file, for tools: without a WAL it can be read from a read-only folder.

        Raises:
            DatabaseUnavailableError: also when there is something at `path` already.
        """
        copies.snapshot(self._store, path)

    def recover_corrupted_session(self, session_id: str) -> bool:
        """Resets a session whose stored data no longer validates; False when it is absent or sound.

        It is failed with the message "Session recovered from corrupted state". Scenes that validate stay; what
        does not is kept in table `set_aside`.

        Raises:
            SessionCorruptedError: when its request is lost and the request model accepts no placeholder.
        """
        return recovery.recover_corrupted(self._store, session_id)

    # Following changes

    def watch(
        self, session_id: str, *, after: str | None = None, timeout: float | None = None
    ) -> SessionWatch[RequestT, SceneT]:
        """An iterator: how the session stands, then each change of it, by whatever process, as it is committed.

        With `after`, the `cursor` of an item that was got earlier, perhaps by another process, it begins with what
        happened since; with how the session stands or went, if that is not known any more (`event_retention_days`, or
        an older copy of the database was put back). No change is left out or given twice, but progress ticks that
        follow each other closely are given as the last of them. It ends with the change that finishes or removes the
        session, or quietly when nothing came for `timeout` seconds; its `is_over` says which, and its `cursor` where to
        go on. A change is seen within about 50 ms. For one thread at a time; it holds up no writer, and no `shutdown`.

        Raises:
            SessionNotFoundError: at once, when the session is absent; with `after`, when it never was there.
            ValueError: also for an `after` that is no cursor.
            SessionManagerError: inside a transaction of the same thread.
            ManagerClosedError: also while it waits, when the manager is shut down.
        """
        return SessionWatch(self._store, session_id, after, timeout)

    def wait_for(self, session_id: str, timeout: float | None) -> GenerationSession[RequestT, SceneT]:
        """The session as it is once it is completed, failed or cancelled; at once when it is. None waits for ever.

        Raises:
            WaitTimeoutError: when it was not finished within `timeout` seconds.
            SessionNotFoundError: when it is absent, or goes meanwhile.
            SessionManagerError: inside a transaction of the same thread.
            ManagerClosedError: also while it waits, when the manager is shut down.
        """
        return watching.wait_for(self._store, session_id, timeout)

    @overload
    def register_session_callback(
        self, event_type: str, callback: SessionCallback, *, every_process: Literal[False] = False
    ) -> None: ...

    @overload
    def register_session_callback(
        self, event_type: str, callback: EveryProcessCallback, *, every_process: bool
    ) -> None: ...

    def register_session_callback(
        self, event_type: str, callback: Callable[[str, Any], object], *, every_process: bool = False
    ) -> None:
        """Has `callback(session_id, session)` called after each committed change of that type in this process.

        On the thread that made the change; it may call the manager. One that raises is logged and harms nobody.
        Types: created, status_changed, progress, scene_added, scenes_set, updated, completed, failed, cancelled,
        removed, expired, evicted, recovered.

        With `every_process` it hears of the changes of all processes, this one too: of each once, in the order of the
        commits, within about 50 ms if the callbacks before it are quick, on one thread of the manager's own. The
        session is as it stands when it is told, None when it is gone. What is committed while no manager listens is not
        told: see `watch`. Progress ticks of active sessions are looked at up to 5 times a second, while anything is
        committed, and those in between are told as one; the last is always told. Each such look reads a row of every
        active session, so a `progress` callback costs the more, the more sessions are active.

        Raises:
            SessionManagerError: with `every_process`, inside a transaction of the same thread.
        """
        self._store.register_callback(event_type, callback, every_process=every_process)

    def unregister_session_callback(self, event_type: str, callback: Callable[[str, Any], object]) -> bool:
        """Takes one registration back; False when there was none."""
        return self._store.unregister_callback(event_type, callback)

    # Life

    def reconfigure(self, max_sessions: int | None = None, cleanup_interval: float | None = None) -> None:
        """Changes capacity and cleanup interval (seconds) at once; None leaves one as it is.

        A lower capacity removes what is too much, as far as `eviction` allows; a new interval wakes the scheduler.
        """
        given = {"max_sessions": max_sessions, "cleanup_interval": cleanup_interval}
        self._store.reconfigure(**{name: value for name, value in given.items() if value is not None})
        self._upkeep.set_cleanup_interval(self._store.settings.cleanup_interval)
        retention.enforce_capacity(self._store)

    def shutdown(self, timeout: float = 30) -> bool:
        """Refuses new calls, lets running ones finish, and closes. Sessions stay. Idempotent.

        Access times are saved, and sessions that this manager's runs hold are given back as pending.

        False when running calls took over `timeout` seconds: the store stays open for them; call it again.

        Raises:
            SessionManagerError: inside a transaction of the same thread.
        """
        return self._upkeep.shut_down(timeout)


def _settings_in(config: object) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return {name: config[name] for name in Settings.model_fields if name in config}
    return {name: getattr(config, name) for name in Settings.model_fields if hasattr(config, name)}


class _MadeOnFirstUse:
    """Stands for a manager until something is asked of it; so that importing opens no database."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._manager: SessionManager | None = None

    def _get(self) -> SessionManager:
        with self._lock:
            if self._manager is None:
                self._manager = SessionManager()
                atexit.register(self._shut_down_at_exit, os.getpid())
            return self._manager

    def _shut_down_at_exit(self, process: int) -> None:
        # A forked child inherits this too, and has nothing to close.
        if os.getpid() == process:
            self._get().shutdown()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get(), name)

    def __enter__(self) -> SessionManager:
        return self._get()

    def __exit__(self, *error: object) -> None:
        self._get().shutdown()


session_manager = cast(SessionManager, _MadeOnFirstUse())
"""The process's own manager, made from the environment on first use and shut down at exit."""
