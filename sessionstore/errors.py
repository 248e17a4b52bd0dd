"""Everything the store raises of its own, under one root.

Each message says what happened, to which session or file, and what to do next. The facts in it are
attributes too, and every error can be pickled, so it crosses process boundaries whole.
"""

from typing import Any


class SessionManagerError(Exception):
    """The root: catch it to catch whatever the store itself refuses or fails at."""

    def __init__(self, message: str, /, **facts: Any) -> None:
        super().__init__(message)
        self.__dict__.update(facts)


class SessionNotFoundError(SessionManagerError, ValueError):
    """An operation that needs a session was given the id of none."""

    session_id: str


class SessionCapacityError(SessionManagerError):
    """The store is full and its eviction policy leaves nothing to evict."""

    max_sessions: int


class SessionLockError(SessionManagerError):
    """The right to write was not obtained within `lock_timeout` seconds; nothing was changed."""

    lock_timeout: float


class IdempotencyConflictError(SessionManagerError):
    """The key (or session id) already belongs to a session made from another request."""

    session_id: str


class SessionCorruptedError(SessionManagerError):
    """What is stored for a session no longer validates; `recover_corrupted_session` resets it.

    `where` is the part. `is_unfit` is true when that is what was stored, and only these models do not take it.
    """

    session_id: str
    where: str
    is_unfit: bool = False


class LeaseHeldError(SessionManagerError):
    """Somebody works on the session: their lease lasts, or they have not been taken for dead yet."""

    session_id: str
    holder: str


class LeaseLostError(SessionManagerError):
    """The session is this run's no more: claimed by somebody else, given back, finished, or gone.

    `holder` is the worker of the newest attempt, when that is another one.
    """

    session_id: str
    holder: str | None


class SessionCancelledError(LeaseLostError):
    """The session was cancelled while this run worked on it."""


class SessionFinishedError(SessionManagerError):
    """A finished session cannot be claimed; `retry_session` puts it back to pending."""

    session_id: str


class CallNotSentError(SessionManagerError):
    """For a provider's `submit` to raise: the request was certainly not accepted, so it may be sent again."""


class JobFailedError(SessionManagerError):
    """For a provider's `fetch` to raise: the job has failed, and there will never be a result."""


class CallHeldError(SessionManagerError):
    """It cannot be told whether a paid call was made; a person has to decide.

    `attach_job` gives it the job that there is, `allow_retry` gives leave to make it again.
    """

    session_id: str
    scene_number: int
    provider: str
    call_id: str


class WaitTimeoutError(SessionManagerError, TimeoutError):
    """`wait_for` gave up: the session was not finished in time. Nothing was changed."""

    session_id: str
    status: str
    seconds: float


class ManagerClosedError(SessionManagerError):
    """The manager was shut down; its sessions are safe, open a new manager to reach them."""


class DatabaseUnavailableError(SessionManagerError):
    """The database cannot be opened, read or written.

    `in_doubt` is true when the failure came from the commit itself: the write may or may not have been
    saved. Repeating it is safe: every write of the store can be repeated under its own key. `is_damaged` is true
    when what was read makes no sense: a bad page, or a failing disk.
    """

    in_doubt: bool = False
    is_damaged: bool = False


class SchemaError(SessionManagerError):
    """The database's tables are not the ones this version of the code works on.

    `found` is the revision of the database, or None when it has none; `expected` is the code's.
    """

    found: str | None
    expected: str
