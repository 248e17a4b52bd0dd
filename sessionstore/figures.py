"""What a store can be measured by: how it stands, and what ever happened in it. For people who watch many of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from sessionstore.models import GenerationStatus, TombstoneReason


@dataclass(frozen=True, slots=True)
class Durations:
    """How many were measured, and what they amount to together."""

    count: int = 0
    total_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaTypeTotals:
    """What ever happened to sessions of one media type; `finished_count` has every terminal status.

    `queue` runs from the creation to the first start, `generation` from there to the finish.
    """

    created_count: int
    finished_count: Mapping[GenerationStatus, int]
    scene_count: int
    queue: Durations
    generation: Durations


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTotals:
    """Paid calls of one provider: how many were begun, and by currency what the closed ones cost, in millionths.

    An open call may still be billed otherwise than it was expected to be, so that it costs nothing yet.
    """

    call_count: int
    cost_micros: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMetrics:
    """A store from one snapshot. All but the capacity is the same whichever process asks.

    How it stands: `session_count` has every status; `capacity_sessions` is None for no limit; `oldest_pending_seconds`
    is the time since the creation of the oldest pending session, 0 when there is none; `lease_count` are sessions that
    a worker has; `unsummed_event_count` are events that wait to be summed up; `storage_bytes` are sizes on disk, by
    what is in there.

    What ever happened, by whichever process, also to sessions that are gone: these numbers only grow. Media types are
    text, '' for none; `departed_count` has every reason, `status_durations` every status, with the times that sessions
    stayed in it before they went on to another one; `recovered_count` are sessions taken back from workers that were
    gone, and corrupted ones that were reset.
    """

    session_count: Mapping[GenerationStatus, int]
    capacity_sessions: int | None
    stuck_count: int
    oldest_pending_seconds: float
    lease_count: int
    held_call_count: int
    unsummed_event_count: int
    storage_bytes: Mapping[str, int]
    schema_revision: str

    by_media_type: Mapping[str, MediaTypeTotals]
    departed_count: Mapping[TombstoneReason, int]
    retried_count: int
    recovered_count: int
    status_durations: Mapping[GenerationStatus, Durations]
    by_provider: Mapping[str, ProviderTotals]
