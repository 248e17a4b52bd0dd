"""What stands between a generator and a service that is paid for each call: the wrapper and the ledger's nouns."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel

from sessionstore.clock import checked_timeout
from sessionstore.identifiers import checked_identifier
from sessionstore.models import UtcDatetime


class Running(Enum):
    """The one value of `STILL_RUNNING`."""

    STILL_RUNNING = "still running"


STILL_RUNNING = Running.STILL_RUNNING
"""What `fetch` answers while the provider has no result yet."""


# A million units. Nine million calls that cost so much still add up in 64 bits.
MAX_COST_MICROS = 10**12


class Cost(NamedTuple):
    """What a call costs: millionths of the currency's unit, and its three letters. 4 cents: `Cost(40_000, "USD")`.

    At most a million units.
    """

    micros: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A paid service, as two functions, so that `GenerationRun.call` buys nothing twice.

    name: what the ledger calls it. With another name, the same scene may be bought again.
    submit: `submit(request) -> job_id` sends the request, and returns text that its result can be asked by. For a
        refusal, or anything else that certainly was not accepted, it raises `CallNotSentError` (a
        `ConnectionRefusedError` counts as one); any other error leaves open whether it was.
    fetch: `fetch(job_id)` returns the result, which JSON can hold, or `STILL_RUNNING`. It raises `JobFailedError` when
        there will never be one; any other error leaves the job as it is, to be asked for again.
    is_repeatable: the provider takes a key with a request, and the same key never buys twice. Then `submit(request,
        key)` is called, and what was left open is sent again under its key, instead of being held for a person.
    cost: `cost(request, result) -> Cost | None`: the price when the job is submitted (`result` is None then), and the
        bill when its result is there. None leaves it as it is.
    poll_seconds: the pause between two calls of `fetch`.
    """

    name: str
    submit: Callable[..., str]
    fetch: Callable[[str], Any]
    is_repeatable: bool = False
    cost: Callable[[Any, Any], Cost | None] | None = None
    poll_seconds: float = 1.0

    def __post_init__(self) -> None:
        # Frozen, so by the road that dataclasses themselves take.
        object.__setattr__(self, "name", checked_identifier(self.name, "name of a provider"))
        if not isinstance(self.is_repeatable, bool):
            raise TypeError(f"is_repeatable must be True or False, not {type(self.is_repeatable).__name__}")
        for name, function in (("submit", self.submit), ("fetch", self.fetch)):
            if not callable(function):
                raise TypeError(f"{name} of provider {self.name} must be callable, not {type(function).__name__}")
        if self.cost is not None and not callable(self.cost):
            raise TypeError(f"cost of provider {self.name} must be callable, not {type(self.cost).__name__}")
        checked_timeout(self.poll_seconds, f"poll_seconds of provider {self.name}")


class CallState(StrEnum):
    """How far a paid call is; the values are what `provider_calls.state` holds."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    FETCHED = "fetched"
    STORED = "stored"
    HELD = "held"
    FAILED = "failed"
    NOT_SENT = "not_sent"
    ABANDONED = "abandoned"

    def is_open(self) -> bool:
        """True while the scene may still get its result from this call: no other is made for it."""
        return self not in {self.STORED, self.FAILED, self.NOT_SENT, self.ABANDONED}


class CallPolicy(StrEnum):
    """What is safe to do about an open call that an earlier run left."""

    STORE = "store"
    POLL = "poll"
    RETRY = "retry"
    HOLD = "hold"


class ProviderCall(BaseModel):
    """One paid call for a scene, as table `provider_calls` keeps it.

    `attempt` is that of the run that began it. `cost_micros` is in millionths of the unit of `currency`; both None
    while unknown. `reason` says why a call is held, failed, abandoned, or was not sent.
    """

    call_id: str
    session_id: str
    scene_number: int
    provider: str
    attempt: int
    state: CallState
    is_repeatable: bool
    job_id: str | None
    cost_micros: int | None
    currency: str | None
    reason: str | None
    intended_at: UtcDatetime
    submitted_at: UtcDatetime | None
    fetched_at: UtcDatetime | None
    held_at: UtcDatetime | None
    closed_at: UtcDatetime | None
    request_fingerprint: str
    request: Any
    result: Any

    @property
    def policy(self) -> CallPolicy | None:
        """What a resumed run does about it; None once it is closed.

        `intended` is ambiguous: its worker died, or lost touch, when the request may have been on its way.
        """
        if self.state is CallState.FETCHED:
            return CallPolicy.STORE
        if self.state is CallState.SUBMITTED:
            return CallPolicy.POLL
        if self.state is CallState.INTENDED and self.is_repeatable:
            return CallPolicy.RETRY
        return CallPolicy.HOLD if self.state.is_open() else None
