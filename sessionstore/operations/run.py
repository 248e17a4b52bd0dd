"""`GenerationRun`: one worker's attempt at one session, fenced off from every other."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from sessionstore.clock import wait_unless
from sessionstore.errors import (
    CallHeldError,
    DatabaseUnavailableError,
    LeaseLostError,
    ManagerClosedError,
    SessionLockError,
    SessionManagerError,
)
from sessionstore.models import GenerationSession, GenerationStatus, RequestT, SceneT
from sessionstore.operations import held as held_calls
from sessionstore.operations import scenes, sessions
from sessionstore.operations.changes import ENDS_RUN_AS, Changes, apply_changes, state_of, status_from
from sessionstore.operations.failures import message_of
from sessionstore.operations.fencing import lost, require_held, write_fenced
from sessionstore.operations.ledger import Purchase
from sessionstore.operations.store import Store
from sessionstore.operations.termination import EXIT_CODE, Termination
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.providers import Provider, ProviderCall

logger = logging.getLogger(__name__)

T = TypeVar("T")

# After these the session is given back, to go on where it stands.
NOT_THE_SESSIONS_FAULT = (SessionLockError, DatabaseUnavailableError, ManagerClosedError)
# Of an error, so many are looked at: they might go round in a circle.
MAX_CAUSES = 10


class GenerationRun(Generic[RequestT, SceneT]):
    """A session that one worker has claimed. A context manager; its methods may be called from any thread.

    Leaving the block normally completes the session. An exception fails it with its message; but when the database
    is what failed, and for what is no `Exception` (Ctrl-C, `SystemExit`), the session is given back as pending.
    Inside the block, in the main thread, SIGTERM and Ctrl-C let a write or a provider's `submit` that is going on
    finish, then raise `SystemExit` and `KeyboardInterrupt`; the second time at once. A program's own handler stays.

    The lease is renewed by a thread of the store for as long as this object exists. Each write checks it, in its own
    transaction, and is durable when it returns, as those of the manager are. They raise what those do, and:

        LeaseLostError: the session is this run's no more; nothing was changed. `SessionCancelledError` is one.
        SystemExit: after `request_stop`; what was written before stays.
    """

    def __init__(self, store: Store, lease: Lease, session: GenerationSession[RequestT, SceneT]) -> None:
        self.lease = lease
        self.session = session
        """The session as it was claimed, with all that had been saved."""
        self._store = store
        self._stop: BaseException | None = None
        self._has_ended = False
        self._termination: Termination | None = None
        store.heartbeats.add(self)

    def __repr__(self) -> str:
        return f"<GenerationRun attempt {self.attempt} of {self.worker!r} at session {self.session_id!r}>"

    @property
    def session_id(self) -> str:
        """The session's."""
        return self.lease.session_id

    @property
    def attempt(self) -> int:
        """The fencing token: grows with every claim of the session."""
        return self.lease.attempt

    @property
    def worker(self) -> str:
        """Who claimed it."""
        return self.lease.worker

    def pending_scene_numbers(self) -> list[int]:
        """Of 1 to `num_scenes` of the request, those without a saved scene now.

        Raises:
            ValueError: when the request has no `num_scenes`.
        """
        num_scenes = getattr(self.session.request_data, "num_scenes", None)
        if not isinstance(num_scenes, int):
            raise ValueError(f"the request of session {self.session_id!r} has no num_scenes; count its scenes yourself")
        saved = self._store.engine.read(lambda unit: scenes.numbers(unit, self.session_id))
        return [number for number in range(1, num_scenes + 1) if number not in saved]

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._stop is not None

    @property
    def has_ended(self) -> bool:
        """Whether it was completed, failed or released here, or is just being."""
        return self._has_ended

    # Writes

    def add_scene(self, scene: SceneT | Mapping[str, Any]) -> None:
        """Saves a scene, as `add_scene_to_session` does; the ledger's calls for it are stored with it."""
        encoded = self._store.codec.encode_scene(scene)

        def work(unit: UnitOfWork) -> None:
            scenes.save(unit, self.session_id, encoded)
            unit.calls.store(self.session_id, encoded.scene_number)

        self._write(work)

    def update_progress(self, current_step: int, total_steps: int, description: str) -> None:
        """Replaces the progress, as `update_session_progress` does."""
        tick = {"current_step": current_step, "total_steps": total_steps, "description": description}
        columns = self._store.codec.encode_progress(tick)
        self._write(lambda unit: sessions.save_progress(unit, self.session_id, columns))

    def update_status(self, status: GenerationStatus | str) -> None:
        """Changes to the other active status: processing or downloading. To end, use the methods that do."""
        wanted = status_from(status)
        if not wanted.is_active():
            raise ValueError(
                f"status of a run must be processing or downloading; {wanted} ends it (complete, fail, release)"
            )
        self._write(lambda unit: _change(unit, self.session_id, Changes(status=wanted)))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As the manager's `transaction`, while the lease is held: for all else that must not come too late."""
        with self._store.engine.transaction():
            self._write(lambda unit: None)
            yield
        self._stop_if_asked()

    def heartbeat(self) -> None:
        """Renews the lease now. Not needed to keep it: it tells a worker that has nothing to write how it stands."""

        def work(unit: UnitOfWork) -> None:
            if not unit.runs.renew(self.lease):
                raise lost(unit, self.lease)

        self._store.engine.write(work)
        self._stop_if_asked()

    def raise_if_cancelled(self) -> None:
        """Raises as a write would when the session was cancelled, or is not this run's any more. Only reads."""
        self._store.engine.read(lambda unit: require_held(unit, self.lease))
        self._stop_if_asked()

    # Paid calls

    def call(self, provider: Provider, scene_number: int, request: Any) -> Any:
        """The result of a paid call for a scene, bought once however often this is repeated, by whatever run.

        Bought again is only a scene that was saved since, or that `retry_session` named. The intention, the job's id
        and the result are each committed before the next step, in the table `provider_calls`. A call that an earlier
        run left is gone on with: its result is returned, its job asked for, or it is sent (again) where that cannot buy
        twice. `request` is a pydantic model or what JSON can hold; the result comes back as JSON has it. `add_scene` of
        that number then closes the call, in its own transaction.

        Blocks until the provider has a result, and asks every `poll_seconds` whether to go on.

        Raises:
            CallHeldError: when it cannot be told whether the request was accepted; see `attach_job` and `allow_retry`.
            CallNotSentError, JobFailedError: as the provider raised them; the next call makes a new attempt.
        """
        purchase = Purchase(self._store, self.lease, provider, scene_number, request)
        return purchase.result(self._pause, lambda: self.is_stopping)

    def open_calls(self) -> list[ProviderCall]:
        """The paid calls that earlier runs, or this one, left unfinished; `policy` says what `call` does about each."""
        return self._store.engine.read(lambda unit: unit.calls.list_open(self.session_id))

    # The end: each may be repeated, and does nothing the second time.

    def complete(self) -> None:
        """Completes the session."""
        self._end(Changes(status=GenerationStatus.COMPLETED))

    def fail(self, error_message: str) -> None:
        """Fails the session."""
        self._end(self._failure(error_message))

    def release(self) -> None:
        """Gives the session back as pending; it can be claimed at once."""
        self._end(Changes(status=GenerationStatus.PENDING))

    def request_stop(self) -> None:
        """Has the worker stop at its next write, wait for a provider, or `raise_if_cancelled`, with `SystemExit`."""
        self._stop_by(SystemExit(EXIT_CODE))

    # The block

    def __enter__(self) -> Self:
        ends = GenerationRun.__exit__.__code__
        self._termination = Termination.expected(self._store.engine.gate, self._stop_by, ends)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termination = self._termination
        if termination is not None:
            termination.end()
        try:
            if error is not None:
                self._end_after(error)
            elif not self._has_ended:
                self._complete_at_last()
        finally:
            self._store.heartbeats.drop(self)
            if termination is not None:
                termination.restore()
        # The generator's own error must not hide from the program that it was asked to end.
        if error is None or (isinstance(error, Exception) and termination is not None and termination.was_asked):
            self._stop_if_asked()

    def _complete_at_last(self) -> None:
        # What cannot be completed now is given back: the next run finds nothing to make, and completes it.
        try:
            self.complete()
        except LeaseLostError:
            raise
        except SessionManagerError:
            self._store.heartbeats.release_later(self.lease)
            raise

    def _end_after(self, error: BaseException) -> None:
        """After an exception. Whatever comes of it, that exception is the one that goes on."""
        is_fault_of_session = isinstance(error, Exception) and not isinstance(error, NOT_THE_SESSIONS_FAULT)
        if self._has_ended or (isinstance(error, LeaseLostError) and error.session_id == self.session_id):
            return
        try:
            if is_fault_of_session:
                message = message_of(error, self._store.settings.max_payload_bytes)
                self._end(self._failure(message), held=_held_call_in(error))
            else:
                self.release()
        except LeaseLostError as refused:
            logger.info("%r ended with %s: %s", self, type(error).__name__, refused)
        except SessionManagerError as refused:
            self._store.heartbeats.release_later(self.lease)
            if not isinstance(refused, ManagerClosedError):
                logger.warning("%r ended when the database could not be written; its session is given back later", self)

    def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        result = write_fenced(self._store.engine, self.lease, work)
        self._stop_if_asked()
        return result

    def _failure(self, error_message: str) -> Changes:
        columns = {"error_message": self._store.codec.encode_error_message(error_message)}
        return Changes(status=GenerationStatus.FAILED, columns=columns)

    def _end(self, changes: Changes, held: CallHeldError | None = None) -> None:
        """Ends the run by `changes` of the session.

        `held` is what it fails for. Where somebody has decided about that call already, there is more to do: then the
        session is given back.
        """
        if self._store.engine.is_inside_transaction():
            raise SessionManagerError(
                f"a run of session {self.session_id!r} cannot end inside a transaction, which might be undone"
            )
        assert changes.status is not None
        outcome = ENDS_RUN_AS[changes.status]

        def work(unit: UnitOfWork) -> None:
            run = unit.runs.find(self.lease)
            if run is None or run.outcome is not outcome:
                require_held(unit, self.lease)
                is_decided = held is not None and not held_calls.is_held(unit, held.call_id)
                _change(unit, self.session_id, Changes(status=GenerationStatus.PENDING) if is_decided else changes)

        had_ended, self._has_ended = self._has_ended, True
        try:
            self._store.engine.write(work)
        except BaseException:
            self._has_ended = had_ended
            raise
        self._store.heartbeats.drop(self)

    def _pause(self, seconds: float) -> None:
        self.raise_if_cancelled()
        wait_unless(lambda: self.is_stopping, seconds)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._stop is not None:
            raise self._stop

    def _stop_by(self, error: BaseException) -> None:
        # No lock, so that a signal handler may call it wherever it interrupts.
        self._stop = error


def _held_call_in(error: BaseException | None) -> CallHeldError | None:
    """The held call that an error is, or was raised from."""
    for _ in range(MAX_CAUSES):
        if error is None or isinstance(error, CallHeldError):
            return error
        error = error.__cause__
    return None


def _change(unit: UnitOfWork, session_id: str, changes: Changes) -> None:
    apply_changes(unit, session_id, state_of(unit, session_id), changes)
