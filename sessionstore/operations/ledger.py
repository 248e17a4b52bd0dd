"""Buying a scene's result once: each step of a paid call is committed before the next one is taken.

intended -> submitted -> fetched -> stored. Where a crash leaves open whether a request was accepted, the call is held
for a person, unless the provider can be sent the same request again under its key.
"""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from sessionstore.errors import (
    CallNotSentError,
    DatabaseUnavailableError,
    JobFailedError,
    SessionLockError,
    SessionManagerError,
)
from sessionstore.exact import exact_integer
from sessionstore.identifiers import new_id
from sessionstore.operations.failures import message_of, repr_of
from sessionstore.operations.fencing import lost, write_fenced
from sessionstore.operations.held import ANSWERED, checked_job_id, held_error
from sessionstore.operations.scenes import checked_number
from sessionstore.operations.store import Store
from sessionstore.persistence.codec import fingerprint_of
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.providers import MAX_COST_MICROS, STILL_RUNNING, CallPolicy, CallState, Cost, Provider, ProviderCall

logger = logging.getLogger(__name__)

Pause = Callable[[float], None]
IsStopping = Callable[[], bool]

AMBIGUOUS = "its worker stopped when the request may have been on its way"
STOPPED = "its worker was asked to stop before it was sent"


class Purchase:
    """One `GenerationRun.call`. What can go wrong before a request is sent does so before it is intended."""

    def __init__(self, store: Store, lease: Lease, provider: Provider, scene_number: int, request: object) -> None:
        if not isinstance(provider, Provider):
            raise TypeError(f"provider must be a Provider, not {type(provider).__name__}")
        number = checked_number(scene_number, "scene_number")
        if store.engine.is_inside_transaction():
            raise SessionManagerError(
                "call() was made inside a transaction; its steps are commits of their own, end it first"
            )
        self._store = store
        self._lease = lease
        self._provider = provider
        self._key = (lease.session_id, number, provider.name)
        self._model = type(request) if isinstance(request, BaseModel) else None
        self._text = store.codec.encode_document(request, "request")
        self._price: dict[str, Any] | None = None

    def result(self, pause: Pause, is_stopping: IsStopping) -> Any:
        """What the one call for the scene gives, whether it is made, gone on with, or finished already.

        `pause(seconds)` waits, and raises when the run has to stop or is none any more.
        """
        pause(0)
        # Inside the gate: a signal, or the closing of the store, waits until it is known what became of the request.
        call = self._store.engine.gate.run(lambda _, stopping: self._begin_and_submit(stopping), is_stopping)
        if call.state is CallState.NOT_SENT:
            pause(0)
        if call.state is CallState.HELD:
            raise held_error(call)
        if call.state is CallState.SUBMITTED:
            call = self._fetch(call, pause)
        return call.result

    def _begin_and_submit(self, is_stopping: IsStopping) -> ProviderCall:
        call, is_new = self._begin()
        if call.state is not CallState.INTENDED:
            return call
        if is_new and is_stopping():
            return self._record(call, CallState.NOT_SENT, {"reason": STOPPED})
        return self._submit(call)

    def _begin(self) -> tuple[ProviderCall, bool]:
        """Commits the intention, or finds the call that is there: then False. An ambiguous one is held from now on."""
        fingerprint, call_id = fingerprint_of(self._text), new_id(self._store.now())
        if self._store.engine.read(lambda unit: unit.calls.find_open(*self._key)) is None:
            self._price = self._cost(self._as_given(self._text), None)

        def work(unit: UnitOfWork) -> ProviderCall:
            found = unit.calls.find_open(*self._key)
            if found is None:
                unit.calls.insert(
                    *self._key,
                    call_id=call_id,
                    attempt=self._lease.attempt,
                    is_repeatable=self._provider.is_repeatable,
                    request_fingerprint=fingerprint,
                    request=self._text,
                )
            elif found.state is CallState.INTENDED and not self._may_repeat(found):
                unit.calls.change(found.call_id, CallState.HELD, {"reason": AMBIGUOUS})
            return _get(unit, call_id if found is None else found.call_id)

        call = write_fenced(self._store.engine, self._lease, work)
        if call.request_fingerprint != fingerprint:
            logger.warning(
                "scene %d of session %s: the request has changed since call %s was made; what was bought then is used",
                call.scene_number,
                call.session_id,
                call.call_id,
            )
        return call, call.call_id == call_id

    def _may_repeat(self, call: ProviderCall) -> bool:
        """Whether it may be sent again.

        Raises:
            SessionManagerError: when it is just being sent, by another thread of this run.
        """
        if call.call_id in self._store.calls_being_sent and call.attempt == self._lease.attempt:
            raise SessionManagerError(
                f"scene {call.scene_number}: another thread of this run is just sending call {call.call_id}; "
                "make one call at a time for a scene"
            )
        return call.policy is CallPolicy.RETRY and self._provider.is_repeatable

    def _submit(self, call: ProviderCall) -> ProviderCall:
        """Sends the request as it was recorded, and commits what it was answered with."""
        try:
            request = self._recorded_request(call)
        except ValidationError as error:
            reason = f"its recorded request is no {error.title} any more, so it cannot be sent again"
            return self._record(call, CallState.HELD, {"reason": reason})
        price = self._cost(request, None) if self._price is None else self._price
        self._store.calls_being_sent.add(call.call_id)
        try:
            answer = self._send(call, request)
        finally:
            self._store.calls_being_sent.discard(call.call_id)
        try:
            job_id = checked_job_id(self._store.codec, answer)
        except (TypeError, ValueError) as error:
            reason = f"submit returned no job id ({message_of(error)}){ANSWERED}{repr_of(answer)}"
            return self._record(call, CallState.HELD, {"reason": reason})
        return self._record(call, CallState.SUBMITTED, {"job_id": job_id, "reason": None, **price})

    def _send(self, call: ProviderCall, request: Any) -> object:
        """What `submit` answers. What it raises is recorded first, by what it means for the call."""
        try:
            return (
                self._provider.submit(request, call.call_id) if call.is_repeatable else self._provider.submit(request)
            )
        except (CallNotSentError, ConnectionRefusedError) as error:
            self._record(call, CallState.NOT_SENT, {"reason": _reason(error)})
            raise
        except BaseException as error:
            if call.is_repeatable:
                raise
            held = self._record(call, CallState.HELD, {"reason": f"submit raised {_reason(error)}"})
            if not isinstance(error, Exception):
                raise
            raise held_error(held) from error

    def _fetch(self, call: ProviderCall, pause: Pause) -> ProviderCall:
        """Asks for the result until there is one, and commits it."""
        assert call.job_id is not None
        pause(0)
        try:
            while (result := self._provider.fetch(call.job_id)) is STILL_RUNNING:
                pause(self._provider.poll_seconds)
        except JobFailedError as error:
            self._record(call, CallState.FAILED, {"reason": _reason(error)})
            raise
        text = self._store.codec.encode_document(result, f"result of {self._provider.name}")
        return self._record(call, CallState.FETCHED, {"result": text, **self._bill(call, text)})

    def _bill(self, call: ProviderCall, text: str) -> dict[str, Any]:
        """What was paid in the end. That it cannot be told is no reason to lose what was bought."""
        try:
            return self._cost(self._recorded_request(call), from_json(text))
        except Exception:
            logger.exception("call %s: its bill is unknown, and stays what was expected", call.call_id)
            return {}

    def _record(self, call: ProviderCall, state: CallState, columns: dict[str, Any]) -> ProviderCall:
        """Commits what is known of the call now.

        That is allowed even to a run whose session was cancelled or given back, as long as nobody claimed it since: a
        job id that is thrown away is money thrown away. A step further, the run finds out.
        """

        def work(unit: UnitOfWork) -> ProviderCall:
            latest = unit.runs.latest(call.session_id)
            if latest is None or latest.lease != self._lease:
                raise lost(unit, self._lease)
            current = _get(unit, call.call_id)
            # Postponed, it must not undo what a person has decided since.
            is_overtaken = state is CallState.SUBMITTED and current.state not in {CallState.INTENDED, CallState.HELD}
            if is_overtaken or not current.state.is_open():
                raise SessionManagerError(f"call {call.call_id} was {current.state} by somebody else meanwhile")
            unit.calls.change(call.call_id, state, columns)
            return _get(unit, call.call_id)

        try:
            return self._store.engine.write(work)
        except BaseException as error:
            if state is CallState.SUBMITTED:
                self._keep_job_id(call, columns["job_id"], work, error)
            raise

    def _keep_job_id(
        self, call: ProviderCall, job_id: str, work: Callable[[UnitOfWork], object], error: BaseException
    ) -> None:
        """There is a job, and its id could not be recorded: it is tried again, and told to who can do it by hand."""
        advice = (
            f"call {call.call_id} was accepted as job {job_id!r}, which could not be recorded; once it is held, "
            "attach_job() (`sessionstore held attach`) keeps it from being bought again"
        )
        logger.error("%s", advice)
        error.add_note(advice)
        if not isinstance(error, SessionManagerError) or isinstance(error, SessionLockError | DatabaseUnavailableError):
            self._store.heartbeats.write_later(work)

    def _recorded_request(self, call: ProviderCall) -> Any:
        return self._as_given(to_json(call.request).decode())

    def _as_given(self, text: str) -> Any:
        """A request from its text, of the type that the caller gave."""
        if self._model is None:
            return from_json(text)
        return self._model.model_validate_json(text, by_name=True, by_alias=False)

    def _cost(self, request: Any, result: Any) -> dict[str, Any]:
        cost = None if self._provider.cost is None else self._provider.cost(request, result)
        if cost is None:
            return {}
        if not isinstance(cost, tuple) or len(cost) != len(Cost._fields):
            raise TypeError(f"cost of provider {self._provider.name} must return a Cost, not {type(cost).__name__}")
        micros, currency = exact_integer(cost[0]), cost[1]
        if micros is None or not 0 <= micros <= MAX_COST_MICROS:
            raise ValueError(
                f"cost of provider {self._provider.name} must be in integer millionths, from 0 to {MAX_COST_MICROS}"
            )
        if type(currency) is not str or len(currency) != 3 or not (currency.isascii() and currency.isupper()):
            raise ValueError(f"currency of provider {self._provider.name} must be three capital letters")
        return {"cost_micros": micros, "currency": currency}


def _get(unit: UnitOfWork, call_id: str) -> ProviderCall:
    call = unit.calls.get(call_id)
    assert call is not None
    return call


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {message_of(error)}"
