"""What a store reports, counted again in plain Python by somebody who was told of each thing as it happened.

Nothing here is looked up in a database, and nothing is ever summed up or pruned but on purpose.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

FINISHED = {"completed", "failed", "cancelled"}
ACTIVE = {"processing", "downloading"}
FLOWS = ("created", "started", "completed", "failed", "cancelled", "retried", "recovered", "scene")

Key = tuple[Any, ...]
Rows = list[tuple[Any, ...]]


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def milliseconds(since: datetime, until: datetime) -> int:
    return max(0, (until - since) // timedelta(milliseconds=1))


@dataclass
class Life:
    """One session, living or gone."""

    session_id: str
    media_type: str | None
    created_at: datetime
    status_since: datetime
    status: str = "pending"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queue_ms: int | None = None
    generation_ms: int | None = None
    error_message: str | None = None
    attempt: int = 0
    scenes: dict[int, datetime] = field(default_factory=dict)
    reason: str | None = None
    gone_at: datetime | None = None

    def row(self) -> tuple[Any, ...]:
        counts = (None, len(self.scenes), self.attempt)
        instants = (self.created_at, self.started_at, self.finished_at)
        durations = (self.queue_ms, self.generation_ms)
        gone = (self.reason, self.gone_at)
        return (
            self.session_id,
            self.status,
            self.media_type,
            *counts,
            self.error_message,
            *instants,
            *durations,
            *gone,
        )


@dataclass
class Flow:
    """What happened to one media type in one hour, or on one day."""

    counts: Counter[str] = field(default_factory=Counter)
    queue: list[int] = field(default_factory=list)
    generation: list[int] = field(default_factory=list)

    def add(self, other: "Flow") -> None:
        self.counts += other.counts
        self.queue += other.queue
        self.generation += other.generation

    def row(self) -> tuple[Any, ...]:
        ended = self.counts["completed"] + self.counts["failed"]
        ratio = self.counts["failed"] / ended if ended else None
        return (*(self.counts[name] for name in FLOWS), ratio, average(self.queue), average(self.generation))


def average(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def spread(values: list[int]) -> tuple[Any, ...]:
    return average(values), min(values, default=None), max(values, default=None)


class Books:
    """Everything that happened. Each method is told `now`, and does what its name says."""

    def __init__(self) -> None:
        self.living: dict[str, Life] = {}
        self.gone: list[Life] = []
        self.created_on: Counter[Any] = Counter()
        self._flows: dict[Key, Flow] = defaultdict(Flow)
        self._scenes: dict[Key, list[int | None]] = defaultdict(list)
        self._statuses: dict[Key, list[int]] = defaultdict(list)
        self._departures: Counter[Key] = Counter()
        self._costs: dict[Key, Counter[str]] = defaultdict(Counter)
        # Of calls that are not closed: the session and scene, and the key of their costs.
        self._open_calls: dict[tuple[str, int], Key] = {}

    def _flow(self, life: Life, now: datetime) -> Flow:
        return self._flows[hour_of(now), life.media_type]

    # What happens

    def create(self, session_id: str, media_type: str | None, now: datetime) -> None:
        life = self.living[session_id] = Life(session_id, media_type, now, now)
        self._flow(life, now).counts["created"] += 1
        self.created_on[now.date()] += 1

    def set_media_type(self, session_id: str, media_type: str | None) -> None:
        self.living[session_id].media_type = media_type

    def set_status(self, session_id: str, status: str, now: datetime, error_message: str | None = None) -> None:
        life = self.living[session_id]
        if life.status in FINISHED and status not in FINISHED:
            life.finished_at, life.generation_ms, life.error_message = None, None, None
        if error_message is not None:
            life.error_message = error_message
        if status == life.status:
            return
        flow, left = self._flow(life, now), life.status
        self._statuses[hour_of(now), life.media_type, left].append(milliseconds(life.status_since, now))
        life.status, life.status_since = status, now
        if status in ACTIVE and life.started_at is None:
            life.started_at, life.queue_ms = now, milliseconds(life.created_at, now)
            flow.counts["started"] += 1
            flow.queue.append(life.queue_ms)
        if status in FINISHED:
            flow.counts[status] += 1
            life.finished_at = now
            life.generation_ms = None if life.started_at is None else milliseconds(life.started_at, now)
            flow.generation += [] if life.generation_ms is None else [life.generation_ms]
        elif left in FINISHED:
            flow.counts["retried"] += 1

    def claim(self, session_id: str, now: datetime) -> None:
        self.set_status(session_id, "processing", now)
        self.living[session_id].attempt += 1

    def recover(self, session_id: str, now: datetime) -> None:
        self.set_status(session_id, "pending", now)
        self._flow(self.living[session_id], now).counts["recovered"] += 1

    def add_scene(self, session_id: str, number: int, now: datetime) -> None:
        life = self.living[session_id]
        begun = max(life.created_at, life.status_since, *life.scenes.values())
        self._scenes[hour_of(now), life.media_type].append(milliseconds(begun, now))
        self._flow(life, now).counts["scene"] += 1
        life.scenes[number] = now

    def set_scenes(self, session_id: str, numbers: list[int], now: datetime) -> None:
        """A scene of a number is always the same one here, so only those that were not there count."""
        life = self.living[session_id]
        new = [number for number in numbers if number not in life.scenes]
        life.scenes = dict.fromkeys(numbers, now)
        self._scenes[hour_of(now), life.media_type] += [None] * len(new)
        self._flow(life, now).counts["scene"] += len(new)

    def go(self, session_id: str, reason: str, now: datetime) -> None:
        life = self.living.pop(session_id)
        life.reason, life.gone_at = reason, now
        self.gone.append(life)
        self._departures[hour_of(now), life.media_type, reason, life.status] += 1
        self._open_calls = {key: cost for key, cost in self._open_calls.items() if key[0] != session_id}

    def forget_gone(self, before: datetime) -> None:
        """Their rows are pruned; what they amounted to is not."""
        self.gone = [life for life in self.gone if life.gone_at is not None and life.gone_at >= before]

    # Paid calls

    def has_open_call(self, session_id: str, number: int) -> bool:
        return (session_id, number) in self._open_calls

    def buy(self, session_id: str, number: int, state: str, price: tuple[int, str], now: datetime) -> None:
        """A new call that ends up fetched, held, failed or not_sent; what was never accepted has no price."""
        micros, currency = price if state in {"fetched", "failed"} else (0, None)
        key = (now.date(), "studio", currency)
        self._costs[key].update(call=1, failed=state == "failed", cost=micros)
        if state in {"fetched", "held"}:
            self._open_calls[session_id, number] = (state, *key)

    def store_call(self, session_id: str, number: int) -> None:
        """Its scene is saved by a run."""
        state, *key = self._open_calls.get((session_id, number), (None,))
        if state == "fetched":
            del self._open_calls[session_id, number]
            self._costs[tuple(key)]["stored"] += 1

    # What is reported of it

    def reports(self) -> dict[str, Rows]:
        """All reports but `stuck`, in the order of the store's; sessions by their text."""
        return {
            "sessions": sorted((life.row() for life in (*self.living.values(), *self.gone)), key=repr),
            "hourly": in_order([(*key, *flow.row()) for key, flow in self._flows.items()], 0, 1),
            "daily": in_order([(*key, *flow.row()) for key, flow in self._by_day().items()], 0, 1),
            "failures": in_order(self._failures(), 0, 3, 1, 2),
            "scenes": in_order([(*key, *scene_row(values)) for key, values in self._scenes.items() if values], 0, 1),
            "status_durations": in_order(
                [(*key, len(values), sum(values), *spread(values)) for key, values in self._statuses.items()], 0, 1, 2
            ),
            "departures": in_order([(*key, count) for key, count in self._departures.items()], 0, 1, 2, 3),
            "costs": in_order(
                [
                    (*key, sums["call"], sums["stored"], sums["failed"], sums["cost"])
                    for key, sums in self._costs.items()
                ],
                *(0, 1, 2),
            ),
        }

    def _by_day(self) -> dict[Key, Flow]:
        days: dict[Key, Flow] = defaultdict(Flow)
        for (hour, media_type), flow in self._flows.items():
            days[hour.date(), media_type].add(flow)
        return days

    def _failures(self) -> Rows:
        alike: dict[Key, list[Life]] = defaultdict(list)
        for life in (*self.living.values(), *self.gone):
            if life.status == "failed" and life.finished_at is not None:
                alike[life.finished_at.date(), life.media_type, life.error_message].append(life)
        rows = []
        for key, lives in alike.items():
            finished = [life.finished_at for life in lives if life.finished_at is not None]
            sums = (len(lives), sum(len(life.scenes) for life in lives), sum(life.attempt for life in lives))
            rows.append((*key, *sums, min(finished), max(finished)))
        return rows


def scene_row(values: list[int | None]) -> tuple[Any, ...]:
    return (len(values), len(values) / 60, *spread([value for value in values if value is not None]))


def in_order(rows: Rows, *columns: int) -> Rows:
    """By these columns; what is not there comes first."""
    return sorted(rows, key=lambda row: [(row[each] is not None, row[each]) for each in columns])
