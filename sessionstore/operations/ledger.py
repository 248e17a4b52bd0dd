"""Buying a scene's result once: each step of a paid call is committed before the next one is taken.

intended -> submitted -> fetched -> stored. Where a crash leaves open whether a request was accepted, the call is held
for a person, unless the provider can be sent the same request again under its key.
"""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from sessionstore.errors import CallHeldError, CallNotSentError, JobFailedError, SessionManagerError
from sessionstore.identifiers import checked_identifier, new_id
from sessionstore.models import MAX_INTEGER, GenerationStatus
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.operations.failures import message_of
from sessionstore.operations.leases import lost, write_fenced
from sessionstore.operations.store import Store
from sessionstore.persistence.codec import fingerprint_of
from sessionstore.persistence.payload import LARGEST_INTEGER
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.providers import STILL_RUNNING, CallState, Cost, Provider, ProviderCall

logger = logging.getLogger(__name__)

Pause = Callable[[float], None]

# Room for a URL, which some services give.
MAX_JOB_ID_CHARACTERS = 2000

AMBIGUOUS = "its worker stopped when the request may have been on its way"
RELEASED = "a person gave leave to make it again"


def obtain(store: Store, lease: Lease, provider: Provider, scene_number: int, request: object, pause: Pause) -> Any:
    """The result of the one call for this scene that is made, gone on with, or finished already."""
    if not isinstance(provider, Provider):
        raise TypeError(f"provider must be a Provider, not {type(provider).__name__}")
    if isinstance(scene_number, bool) or not isinstance(scene_number, int) or not 0 <= scene_number <= MAX_INTEGER:
        raise ValueError(f"scene_number must be an integer from 0 to {MAX_INTEGER}")
    if store.engine.is_inside_transaction():
        raise SessionManagerError(
            "call() was made inside a transaction; its steps are commits of their own, end it first"
        )
    purchase = _Purchase(store, lease, provider, request)
    call = purchase.begin(scene_number)
    if call.state is CallState.HELD:
        raise _held(call)
    if call.state is CallState.INTENDED:
        # Inside the gate: closing the store waits until it is known whether the request was accepted.
        call = store.engine.gate.run(lambda _, intended: purchase.submit(intended), call)
    if call.state is CallState.SUBMITTED:
        call = purchase.fetch(call, pause)
    return call.result


class _Purchase:
    """One `GenerationRun.call`. What can go wrong before a request is sent does so before it is intended."""

    def __init__(self, store: Store, lease: Lease, provider: Provider, request: object) -> None:
        self._store = store
        self._lease = lease
        self._provider = provider
        self._model = type(request) if isinstance(request, BaseModel) else None
        self._text = store.codec.encode_document(request, "request")
        self._price: dict[str, Any] | None = None

    def begin(self, scene_number: int) -> ProviderCall:
        """Commits the intention, or finds the call that is there; an ambiguous one is held from now on."""
        fingerprint, call_id = fingerprint_of(self._text), new_id(self._store.now())
        key = (self._lease.session_id, scene_number, self._provider.name)
        if self._store.engine.read(lambda unit: unit.calls.find_open(*key)) is None:
            self._price = self._cost(self._as_given(self._text), None)

        def work(unit: UnitOfWork) -> ProviderCall:
            found = unit.calls.find_open(*key)
            if found is None:
                unit.calls.insert(
                    call_id=call_id,
                    session_id=self._lease.session_id,
                    scene_number=scene_number,
                    provider=self._provider.name,
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
                *(scene_number, call.session_id, call.call_id),
            )
        return call

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
        return call.is_repeatable and self._provider.is_repeatable

    def submit(self, call: ProviderCall) -> ProviderCall:
        """Sends the request as it was recorded, and commits what it was answered with."""
        try:
            request = self._recorded_request(call)
        except ValidationError as error:
            reason = f"its recorded request is no {error.title} any more, so it cannot be sent again"
            raise _held(self._record(call, CallState.HELD, {"reason": reason})) from error
        price = self._cost(request, None) if self._price is None else self._price
        arguments = (request, call.call_id) if call.is_repeatable else (request,)
        self._store.calls_being_sent.add(call.call_id)
        try:
            job_id = self._provider.submit(*arguments)
        except (CallNotSentError, ConnectionRefusedError) as error:
            self._record(call, CallState.NOT_SENT, {"reason": _reason(error)})
            raise
        except BaseException as error:
            if call.is_repeatable:
                raise
            held = self._record(call, CallState.HELD, {"reason": f"submit raised {_reason(error)}"})
            if not isinstance(error, Exception):
                raise
            raise _held(held) from error
        finally:
            self._store.calls_being_sent.discard(call.call_id)
        try:
            accepted = _checked_job_id(self._store, job_id)
        except (TypeError, ValueError) as error:
            reason = f"submit returned no job id, but {job_id!r:.200}: {message_of(error)}"
            raise _held(self._record(call, CallState.HELD, {"reason": reason})) from error
        return self._record(call, CallState.SUBMITTED, {"job_id": accepted, "reason": None, **price})

    def fetch(self, call: ProviderCall, pause: Pause) -> ProviderCall:
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
        bill = self._cost(self._recorded_request(call), from_json(text)) if self._provider.cost else {}
        return self._record(call, CallState.FETCHED, {"result": text, **bill})

    def _record(self, call: ProviderCall, state: CallState, columns: dict[str, Any]) -> ProviderCall:
        """Commits what is known of the call now.

        That is allowed even to a run whose session was cancelled or given back, as long as nobody claimed it since: a
        job id that is thrown away is money thrown away. A step further, the run finds out.
        """

        def work(unit: UnitOfWork) -> ProviderCall:
            latest = unit.runs.latest(call.session_id)
            if latest is None or latest.lease != self._lease:
                raise lost(unit, self._lease)
            current = unit.calls.get(call.call_id)
            if current is None or not current.state.is_open():
                raise SessionManagerError(f"call {call.call_id} was closed by somebody else meanwhile")
            unit.calls.change(call.call_id, state, columns)
            return _get(unit, call.call_id)

        try:
            return self._store.engine.write(work)
        except SessionManagerError as error:
            if state is CallState.SUBMITTED:
                advice = f"call {call.call_id} was accepted as job {columns['job_id']!r}, which could not be recorded; "
                advice += "once it is held, attach_job() (`sessionstore held attach`) keeps it from being bought again"
                logger.error("%s", advice)
                error.add_note(advice)
            raise

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
        micros, currency = Cost(*cost)
        if isinstance(micros, bool) or not isinstance(micros, int) or not 0 <= micros <= LARGEST_INTEGER:
            raise ValueError(f"cost of provider {self._provider.name} must be in integer millionths, from 0 up")
        if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isupper()):
            raise ValueError(f"currency of provider {self._provider.name} must be three capital letters")
        return {"cost_micros": micros, "currency": currency}


# What a person decides about a held call.


def list_held(store: Store) -> list[ProviderCall]:
    """The calls that wait for a decision, the longest first."""
    return store.engine.read(lambda unit: unit.calls.list_held())


def is_held(unit: UnitOfWork, call_id: str) -> bool:
    """Whether the call still waits for a decision."""
    call = unit.calls.get(call_id)
    return call is not None and call.state is CallState.HELD


def attach_job(store: Store, call_id: str, job_id: str) -> bool:
    """The request had been accepted as that job: the session goes on with it."""
    checked_identifier(call_id, "call_id")
    return _decide(store, call_id, CallState.SUBMITTED, {"job_id": _checked_job_id(store, job_id), "reason": None})


def allow_retry(store: Store, call_id: str) -> bool:
    """The request had not been accepted, or may be paid again: the session goes on with a new call."""
    checked_identifier(call_id, "call_id")
    return _decide(store, call_id, CallState.NOT_SENT, {"reason": RELEASED})


def _decide(store: Store, call_id: str, state: CallState, columns: dict[str, Any]) -> bool:
    """Settles a held call; a session that failed for it goes back to pending with its last one."""

    def work(unit: UnitOfWork) -> bool:
        call = unit.calls.get(call_id)
        if call is None or call.state is not CallState.HELD:
            return False
        unit.calls.change(call_id, state, columns)
        still_held = any(each.state is CallState.HELD for each in unit.calls.list_open(call.session_id))
        current = unit.sessions.state(call.session_id)
        if current is not None and current.status is GenerationStatus.FAILED and not still_held:
            apply_changes(unit, call.session_id, current, Changes(status=GenerationStatus.PENDING))
        return True

    return store.engine.write(work)


def _get(unit: UnitOfWork, call_id: str) -> ProviderCall:
    call = unit.calls.get(call_id)
    assert call is not None
    return call


def _checked_job_id(store: Store, job_id: object) -> str:
    text = store.codec.checked_text(job_id, "job_id")
    if not text.strip() or len(text) > MAX_JOB_ID_CHARACTERS:
        raise ValueError(f"job_id must have 1 to {MAX_JOB_ID_CHARACTERS} characters, and not be blank")
    return text


def _held(call: ProviderCall) -> CallHeldError:
    return CallHeldError(
        f"scene {call.scene_number}: it is not known whether {call.provider} was paid for call {call.call_id} "
        f"({call.reason}); look it up there, then attach_job() or allow_retry() (`sessionstore held`)",
        session_id=call.session_id,
        scene_number=call.scene_number,
        provider=call.provider,
        call_id=call.call_id,
    )


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {message_of(error)}"
