"""What becomes of sessions: when each is created, and which statuses it goes through; the same for the same number."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil
from typing import ClassVar, NamedTuple

from benchmarks.filling import Filling
from sessionstore import GenerationStatus

MONTH = timedelta(days=30)
# Until when sessions are created: the last ones have an hour to come to an end.
SPREAD = MONTH - timedelta(hours=1)
BATCHES = SPREAD // timedelta(hours=1)
# All that happens to a batch happens at so many moments, a transaction each.
MOMENTS = 10
# From the first moment of a batch to the last, at most. Under an hour: then the next batch begins after it.
LONGEST = timedelta(minutes=40)

PENDING, PROCESSING = GenerationStatus.PENDING, GenerationStatus.PROCESSING
COMPLETED, FAILED, CANCELLED = GenerationStatus.COMPLETED, GenerationStatus.FAILED, GenerationStatus.CANCELLED
# What sessions become after their creation, and how many of a thousand do.
COURSES = {
    (PROCESSING, COMPLETED): 890,
    (PROCESSING, FAILED): 50,
    (PROCESSING, FAILED, PENDING, PROCESSING, COMPLETED): 20,
    (PROCESSING, CANCELLED): 20,
    (CANCELLED,): 10,
    (PROCESSING,): 5,
    (): 5,
}


class Step(NamedTuple):
    """A session, by its number, is created (status None) or gets a status."""

    session: int
    status: GenerationStatus | None


class History(Filling):
    """So many sessions over a month, a batch an hour."""

    spread: ClassVar = SPREAD

    @property
    def batch(self) -> int:
        return ceil(self.sessions / BATCHES)

    def ends_at(self) -> datetime:
        return self.begun_at + MONTH

    def day_in_the_middle(self) -> datetime:
        """When the day begins on which the middle one was created."""
        return self.created_at(self.sessions // 2).replace(hour=0, minute=0, second=0, microsecond=0)

    def batches(self) -> Iterator[range]:
        """The numbers of the sessions of each batch."""
        for first in range(0, self.sessions, self.batch):
            yield range(first, min(first + self.batch, self.sessions))

    def moments(self, batch: range) -> Iterator[tuple[datetime, list[Step]]]:
        """All that happens to the sessions of a batch, in the order of time."""
        chance = random.Random(batch.start)
        steps: list[list[Step]] = [[] for _ in range(MOMENTS)]
        courses = chance.choices(list(COURSES), list(COURSES.values()), k=len(batch))
        for session, course in zip(batch, courses, strict=True):
            places = sorted(chance.sample(range(MOMENTS), 1 + len(course)))
            for place, status in zip(places, (None, *course), strict=True):
                steps[place].append(Step(session, status))
        begins_at = self.created_at(batch.start)
        for part, happening in zip(sorted(chance.random() for _ in steps), steps, strict=True):
            if happening:
                yield begins_at + LONGEST * part, happening
