"""The ancestor: the interface of the store over one plain dict, with nothing durable and nothing shared.

Written from the promises and not from the code, so that the two can be held against each other. Sessions are
the domain's own models; whatever is handed out is a copy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import timedelta
from typing import Any

from sessionstore import (
    GenerationRequest,
    GenerationSession,
    GenerationStatus,
    IdempotencyConflictError,
    ProgressUpdate,
    ScenePrompt,
    SessionCapacityError,
    SessionNotFoundError,
    TombstoneReason,
)
from sessionstore.testing import ManualClock

CHANGEABLE = {"status", "request_data", "scenes", "progress", "error_message", "metadata"}
RETENTION_HOURS = {GenerationStatus.FAILED: 1.0, GenerationStatus.COMPLETED: 6.0, GenerationStatus.CANCELLED: 6.0}
ANNOUNCED_AS = {"evicted": "evicted", "expired": "expired", "removed": "removed", "cleared": "removed"}


class Ancestor:
    """Sessions by id, in the order of their creation; each method is named as that of `SessionManager`.

    `events` are what callbacks would have heard: type and session id. `tombstones` hold reason, last
    status and scenes done.
    """

    def __init__(self, clock: ManualClock, *, max_sessions: int, eviction: str) -> None:
        self.clock = clock
        self.max_sessions = max_sessions
        self.eviction = eviction
        self.sessions: dict[str, GenerationSession] = {}
        self.id_by_key: dict[str, str] = {}
        self.tombstones: dict[str, tuple[str, str, int]] = {}
        self.events: list[tuple[str, str]] = []

    # Sessions

    def create_session(
        self,
        request: GenerationRequest,
        *,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        known_id = self.id_by_key.get(idempotency_key) if idempotency_key is not None else None
        if known_id is not None or session_id in self.sessions:
            same = self.sessions[known_id or session_id]
            if same.request_data != request or (known_id is None and idempotency_key is not None):
                raise IdempotencyConflictError("the key or id belongs to another request")
            return same.session_id
        self._make_room(1)
        now = self.clock()
        self.sessions[session_id] = GenerationSession(
            session_id=session_id,
            request_data=request.model_copy(deep=True),
            metadata=deepcopy(dict(metadata or {})),
            created_at=now,
            last_accessed=now,
            updated_at=now,
        )
        if idempotency_key is not None:
            self.id_by_key[idempotency_key] = session_id
        self._publish(session_id, "created")
        return session_id

    def get_session(self, session_id: str) -> GenerationSession | None:
        session = self.sessions.get(session_id)
        if session is None:
            return None
        session.last_accessed = self.clock()
        return session.model_copy(deep=True)

    def update_session_status(
        self,
        session_id: str,
        status: str,
        error_message: str | None = None,
        *,
        expected_status: str | None = None,
    ) -> bool:
        wanted = GenerationStatus(status)
        expected = None if expected_status is None else GenerationStatus(expected_status)
        session = self.sessions.get(session_id)
        if session is None or (expected is not None and session.status is not expected):
            return False
        self._apply(session, {"status": wanted} | ({} if error_message is None else {"error_message": error_message}))
        return True

    def update_session_progress(self, session_id: str, current_step: int, total_steps: int, description: str) -> bool:
        progress = ProgressUpdate(current_step=current_step, total_steps=total_steps, description=description)
        if session_id not in self.sessions:
            return False
        self.sessions[session_id].progress = progress
        self._touch(self.sessions[session_id])
        self._publish(session_id, "progress")
        return True

    def remove_session(self, session_id: str) -> bool:
        return self._bury([session_id] if session_id in self.sessions else [], "removed") > 0

    def get_session_count(self) -> int:
        return len(self.sessions)

    def get_sessions_by_status(self, status: str) -> list[GenerationSession]:
        return [session.model_copy(deep=True) for session in self.oldest_first() if session.status == status]

    def get_all_sessions_info(self) -> list[dict[str, Any]]:
        return [
            {
                "session_id": session.session_id,
                "status": session.status,
                "created_at": session.created_at.isoformat(),
                "last_accessed": session.last_accessed.isoformat(),
                "age_hours": round(self._hours_since(session.created_at), 2),
                "num_scenes": len(session.scenes),
                "progress": session.get_completion_percentage(),
            }
            for session in self.oldest_first()
        ]

    # Scenes

    def add_scene_to_session(self, session_id: str, scene: ScenePrompt) -> bool:
        session = self.sessions.get(session_id)
        if session is None:
            return False
        numbers = [each.scene_number for each in session.scenes]
        copied = scene.model_copy(deep=True)
        if scene.scene_number in numbers:
            session.scenes[numbers.index(scene.scene_number)] = copied
        else:
            session.scenes.append(copied)
        self._touch(session)
        self._publish(session_id, "scene_added")
        return True

    def set_session_scenes(self, session_id: str, scenes: list[ScenePrompt]) -> bool:
        return self.atomic_session_update(session_id, {"scenes": scenes})

    # Several things at once

    def with_session_lock(self, session_id: str, operation: Callable[[GenerationSession], Any]) -> Any:
        with self.transaction():
            if session_id not in self.sessions:
                raise SessionNotFoundError("absent")
            session = self.sessions[session_id].model_copy(deep=True)
            before = session.model_copy(deep=True)
            result = operation(session)
            if (session.session_id, session.created_at) != (before.session_id, before.created_at):
                raise ValueError("session_id and created_at cannot change")
            changed = {name: getattr(session, name) for name in CHANGEABLE}
            changed = {name: value for name, value in changed.items() if value != getattr(before, name)}
            if changed:
                self.atomic_session_update(session_id, changed)
            return result

    def atomic_session_update(self, session_id: str, updates: Mapping[str, Any]) -> bool:
        fields = _validated({name: value for name, value in updates.items() if name in CHANGEABLE})
        session = self.sessions.get(session_id)
        if session is not None:
            self._apply(session, fields)
        return session is not None

    def bulk_update_sessions(self, session_ids: Iterable[str], operation: Callable[[GenerationSession], object]) -> int:
        succeeded = 0
        for session_id in session_ids:
            with suppress(Exception):
                self.with_session_lock(session_id, operation)
                succeeded += 1
        return succeeded

    @contextmanager
    def transaction(self) -> Iterator[None]:
        kept = deepcopy((self.sessions, self.id_by_key, self.tombstones, self.events))
        try:
            yield
        except BaseException:
            self.sessions, self.id_by_key, self.tombstones, self.events = kept
            raise

    # Retention

    def cleanup_expired_sessions(self, max_age_hours: float = 24) -> int:
        return self._bury(self._expired(max_age_hours), "expired")

    def cleanup_failed_sessions(self) -> int:
        return self._bury([each.session_id for each in self.oldest_first() if each.status == "failed"], "cleared")

    def cleanup_completed_sessions(self, max_age_hours: float = 6) -> int:
        completed = [each for each in self.sessions.values() if each.status == "completed"]
        due = [each for each in completed if self._hours_since(each.finished_at) > max_age_hours]
        return self._bury([each.session_id for each in sorted(due, key=lambda each: each.finished_at)], "expired")  # type: ignore[arg-type,return-value]  # completed ones have it

    def force_cleanup_all(self) -> int:
        return self._bury([each.session_id for each in self.oldest_first()], "cleared")

    def reconfigure(self, max_sessions: int) -> None:
        self.max_sessions = max_sessions
        with suppress(SessionCapacityError):
            self._make_room(0)

    # How it stands

    def get_performance_stats(self) -> dict[str, Any]:
        ages = [self._hours_since(session.created_at) for session in self.sessions.values()]
        return {
            "total_sessions": len(ages),
            "max_capacity": self.max_sessions,
            "utilization_percent": self._utilization(),
            "status_breakdown": {
                status: len([each for each in self.sessions.values() if each.status == status])
                for status in GenerationStatus
            },
            "age_distribution": {
                "under_1h": len([age for age in ages if age < 1]),
                "1h_to_6h": len([age for age in ages if 1 <= age < 6]),
                "6h_to_24h": len([age for age in ages if 6 <= age < 24]),
                "over_24h": len([age for age in ages if age >= 24]),
            },
            "average_age_hours": sum(ages) / len(ages) if ages else 0.0,
            "oldest_session_hours": max(ages, default=0.0),
            "newest_session_hours": min(ages, default=0.0),
        }

    def get_health_status(self) -> dict[str, str]:
        working = [session for session in self.sessions.values() if session.status == "processing"]
        utilization = self._utilization()
        return {
            "overall_health": "healthy" if utilization < 70 else "warning" if utilization < 90 else "critical",
            "session_count": str(len(self.sessions)),
            "utilization_percent": f"{utilization:.1f}%",
            "stuck_sessions": str(len([each for each in working if self._hours_since(each.updated_at) > 0.5])),
            "cleanup_active": "no",
        }

    # What the above is made of

    def _apply(self, session: GenerationSession, fields: Mapping[str, Any]) -> None:
        """One saved change: the fields, what a change of status sets, and what is announced."""
        if not fields:
            return
        now, old, status = self.clock(), session.status, fields.get("status", session.status)
        if old.is_terminal() and not status.is_terminal():
            session.finished_at = session.error_message = None
        if status.is_terminal() and status is not old:
            session.finished_at = now
        if status.is_active() and session.started_at is None:
            session.started_at = now
        for name, value in fields.items():
            setattr(session, name, deepcopy(value))
        self._touch(session)
        if "scenes" in fields:
            self._publish(session.session_id, "scenes_set")
        if fields.keys() - {"status", "scenes", "error_message"} or ("error_message" in fields) > ("status" in fields):
            self._publish(session.session_id, "updated")
        if status is not old:
            self._publish(session.session_id, "status_changed", *([status.value] if status.is_terminal() else []))

    def _touch(self, session: GenerationSession) -> None:
        session.updated_at = session.last_accessed = self.clock()
        session.version += 1

    def _make_room(self, wanted: int) -> None:
        """Expired ones go first, and only as many as must; then what the policy allows, oldest first."""
        excess = len(self.sessions) + wanted - self.max_sessions
        if excess <= 0:
            return
        evictable = [each for each in self.oldest_first() if each.status.is_terminal() or self.eviction == "oldest"]
        expired = self._expired(24)[:excess]
        ids = [each.session_id for each in evictable if each.session_id not in expired]
        evicted = [] if self.eviction == "reject" else ids[: excess - len(expired)]
        if wanted and len(expired) + len(evicted) < excess:
            raise SessionCapacityError("full")
        self._bury(expired, "expired")
        self._bury(evicted, "evicted")

    def _expired(self, max_age_hours: float) -> list[str]:
        """By status, longest due first: when only some must go, these go first."""
        due: list[str] = []
        for status in ("pending", "processing", "downloading", "failed", "completed", "cancelled"):
            limit = RETENTION_HOURS.get(GenerationStatus(status), max_age_hours)
            since = [(each.finished_at or each.created_at, each) for each in self.oldest_first()]
            old = [(start, each) for start, each in since if each.status == status and self._hours_since(start) > limit]
            due += [each.session_id for _, each in sorted(old, key=lambda pair: pair[0])]
        return due

    def _bury(self, session_ids: list[str], reason: str) -> int:
        for session_id in session_ids:
            session = self.sessions[session_id]
            self._publish(session_id, ANNOUNCED_AS[TombstoneReason(reason)])
            self.tombstones[session_id] = (reason, session.status.value, len(session.scenes))
        for session_id in session_ids:
            del self.sessions[session_id]
        self.id_by_key = {key: owner for key, owner in self.id_by_key.items() if owner in self.sessions}
        return len(session_ids)

    def _publish(self, session_id: str, *event_types: str) -> None:
        self.events += [(each, session_id) for each in event_types]

    def oldest_first(self) -> list[GenerationSession]:
        return sorted(self.sessions.values(), key=lambda each: (each.created_at, each.session_id))

    def _hours_since(self, moment: Any) -> float:
        return float((self.clock() - moment) / timedelta(hours=1))

    def _utilization(self) -> float:
        return round(100 * len(self.sessions) / self.max_sessions, 1)


def _validated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what cannot be stored, before anything is changed."""
    valid: dict[str, Any] = dict(fields)
    if "status" in valid:
        valid["status"] = GenerationStatus(valid["status"])
    if "progress" in valid and valid["progress"] is not None:
        valid["progress"] = ProgressUpdate.model_validate(valid["progress"])
    numbers = [scene.scene_number for scene in valid.get("scenes", [])]
    if len(numbers) != len(set(numbers)):
        raise ValueError("a scene number is given twice")
    return valid
