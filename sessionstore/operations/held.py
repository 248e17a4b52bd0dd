"""Paid calls that are held, since nobody can tell whether they were made; and what a person decides about one."""

from collections.abc import Mapping
from typing import Any

from sessionstore.errors import CallHeldError
from sessionstore.identifiers import checked_identifier
from sessionstore.models import GenerationStatus
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.operations.store import Store
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.providers import CallState, ProviderCall

# Room for a URL, which some services give.
MAX_JOB_ID_CHARACTERS = 2000

# What follows in a reason is what a provider said: for who looks at the ledger, and for no message.
ANSWERED = "; it answered "
ALLOWED = "a person gave leave to make it again"


def list_held(store: Store) -> list[ProviderCall]:
    """The calls that wait for a decision, the longest first."""
    return store.engine.read(lambda unit: unit.calls.list_held())


def is_held(unit: UnitOfWork, call_id: str) -> bool:
    """Whether the call still waits for a decision."""
    call = unit.calls.get(call_id)
    return call is not None and call.state is CallState.HELD


def attach_job(store: Store, call_id: str, job_id: str) -> bool:
    """The request had been accepted as that job: the session goes on with it."""
    call_id = checked_identifier(call_id, "call_id")
    columns = {"job_id": checked_job_id(store.codec, job_id), "reason": None}
    return store.engine.write(lambda unit: _decide(unit, call_id, CallState.SUBMITTED, columns))


def allow_retry(store: Store, call_id: str) -> bool:
    """The request may be sent: again under its key, where the provider takes one, else as a new call."""
    call_id = checked_identifier(call_id, "call_id")
    return store.engine.write(lambda unit: _decide(unit, call_id, CallState.NOT_SENT, {"reason": ALLOWED}))


def _decide(unit: UnitOfWork, call_id: str, state: CallState, columns: Mapping[str, Any]) -> bool:
    """Settles a held call; a session that failed for it goes back to pending with its last one."""
    call = unit.calls.get(call_id)
    if call is None or call.state is not CallState.HELD:
        return False
    may_repeat = state is CallState.NOT_SENT and call.is_repeatable
    unit.calls.change(call_id, CallState.INTENDED if may_repeat else state, columns)
    still_held = any(each.state is CallState.HELD for each in unit.calls.list_open(call.session_id))
    current = unit.sessions.state(call.session_id)
    if current is not None and current.status is GenerationStatus.FAILED and not still_held:
        apply_changes(unit, call.session_id, current, Changes(status=GenerationStatus.PENDING))
    return True


def checked_job_id(codec: SessionCodec[Any, Any], job_id: object) -> str:
    """`job_id`, when it can be stored and is worth it. Raises TypeError or ValueError."""
    text = codec.checked_text(job_id, "job_id")
    if not text.strip() or len(text) > MAX_JOB_ID_CHARACTERS:
        raise ValueError(f"job_id must have 1 to {MAX_JOB_ID_CHARACTERS} characters, and not be blank")
    return text


def held_error(call: ProviderCall) -> CallHeldError:
    """What to say of a held call to whoever wants its result."""
    reason = str(call.reason).partition(ANSWERED)[0]
    return CallHeldError(
        f"scene {call.scene_number}: it is not known whether {call.provider} was paid for call {call.call_id} "
        f"({reason}); look it up there, then attach_job() or allow_retry() (`sessionstore held`)",
        session_id=call.session_id,
        scene_number=call.scene_number,
        provider=call.provider,
        call_id=call.call_id,
    )
