"""The durable session store for generation backends."""

import logging
from typing import TYPE_CHECKING, Any

from sessionstore.clock import Clock, utc_now
from sessionstore.errors import (
    DatabaseUnavailableError,
    IdempotencyConflictError,
    LeaseHeldError,
    LeaseLostError,
    ManagerClosedError,
    SchemaError,
    SessionCapacityError,
    SessionCorruptedError,
    SessionLockError,
    SessionManagerError,
    SessionNotFoundError,
)
from sessionstore.events import EventType
from sessionstore.models import (
    Finding,
    GenerationRequest,
    GenerationSession,
    GenerationStatus,
    MediaType,
    ProgressUpdate,
    ScenePrompt,
    SessionPage,
    Tombstone,
    TombstoneReason,
)
from sessionstore.settings import Settings

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager, session_manager

__all__ = [
    "Clock",
    "DatabaseUnavailableError",
    "EventType",
    "Finding",
    "GenerationRequest",
    "GenerationSession",
    "GenerationStatus",
    "IdempotencyConflictError",
    "LeaseHeldError",
    "LeaseLostError",
    "ManagerClosedError",
    "MediaType",
    "ProgressUpdate",
    "ScenePrompt",
    "SchemaError",
    "SessionCapacityError",
    "SessionCorruptedError",
    "SessionLockError",
    "SessionManager",
    "SessionManagerError",
    "SessionNotFoundError",
    "SessionPage",
    "Settings",
    "Tombstone",
    "TombstoneReason",
    "session_manager",
    "utc_now",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Loads the manager, and with it SQLAlchemy, when it is asked for: `sessionstore --help` never does."""
    if name not in {"SessionManager", "session_manager"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sessionstore import manager  # noqa: PLC0415 - see above

    globals().update(SessionManager=manager.SessionManager, session_manager=manager.session_manager)
    return globals()[name]
