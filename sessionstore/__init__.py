"""The durable session store for generation backends."""

import logging
from typing import TYPE_CHECKING, Any

from sessionstore.clock import Clock, utc_now
from sessionstore.errors import (
    CallHeldError,
    CallNotSentError,
    DatabaseUnavailableError,
    IdempotencyConflictError,
    JobFailedError,
    LeaseHeldError,
    LeaseLostError,
    ManagerClosedError,
    SchemaError,
    SessionCancelledError,
    SessionCapacityError,
    SessionCorruptedError,
    SessionFinishedError,
    SessionLockError,
    SessionManagerError,
    SessionNotFoundError,
    WaitTimeoutError,
)
from sessionstore.events import EventType
from sessionstore.figures import StoreMetrics
from sessionstore.models import (
    Finding,
    GenerationRequest,
    GenerationSession,
    GenerationStatus,
    MediaType,
    ProgressUpdate,
    Report,
    ScenePrompt,
    SessionChange,
    SessionPage,
    Tombstone,
    TombstoneReason,
)
from sessionstore.providers import STILL_RUNNING, CallPolicy, CallState, Cost, Provider, ProviderCall
from sessionstore.settings import Settings

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager, session_manager
    from sessionstore.operations.copies import restore
    from sessionstore.operations.run import GenerationRun
    from sessionstore.operations.watching import SessionWatch

__all__ = [
    "STILL_RUNNING",
    "CallHeldError",
    "CallNotSentError",
    "CallPolicy",
    "CallState",
    "Clock",
    "Cost",
    "DatabaseUnavailableError",
    "EventType",
    "Finding",
    "GenerationRequest",
    "GenerationRun",
    "GenerationSession",
    "GenerationStatus",
    "IdempotencyConflictError",
    "JobFailedError",
    "LeaseHeldError",
    "LeaseLostError",
    "ManagerClosedError",
    "MediaType",
    "ProgressUpdate",
    "Provider",
    "ProviderCall",
    "Report",
    "ScenePrompt",
    "SchemaError",
    "SessionCancelledError",
    "SessionCapacityError",
    "SessionChange",
    "SessionCorruptedError",
    "SessionFinishedError",
    "SessionLockError",
    "SessionManager",
    "SessionManagerError",
    "SessionNotFoundError",
    "SessionPage",
    "SessionWatch",
    "Settings",
    "StoreMetrics",
    "Tombstone",
    "TombstoneReason",
    "WaitTimeoutError",
    "restore",
    "session_manager",
    "utc_now",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Loads the manager, and with it SQLAlchemy, when it is asked for: `sessionstore --help` never does."""
    if name not in {"GenerationRun", "SessionManager", "SessionWatch", "restore", "session_manager"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sessionstore import manager  # noqa: PLC0415 - see above
    from sessionstore.operations import copies, run, watching  # noqa: PLC0415

    globals().update(
        GenerationRun=run.GenerationRun,
        SessionManager=manager.SessionManager,
        SessionWatch=watching.SessionWatch,
        restore=copies.restore,
        session_manager=manager.session_manager,
    )
    return globals()[name]
