"""The unit of work: what one transaction is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sessionstore.events import CallbackRegistry, EventType, SessionEvent
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.history import HistoryRepository
from sessionstore.persistence.repository import SessionRepository
from sessionstore.persistence.statistics import StatisticsRepository


class UnitOfWork:
    """Repositories over one held connection, one frozen instant `now`, and the events to publish after the commit.

    A function that is given a unit may be run again, and on another thread: it does no I/O of its own, calls
    nobody back, and asks no clock but `now`.
    """

    def __init__(
        self,
        statements: Executor,
        now: datetime,
        codec: SessionCodec[Any, Any],
        callbacks: CallbackRegistry,
    ) -> None:
        self.now = now
        self.codec = codec
        self.sessions = SessionRepository(statements, codec, now)
        self.history = HistoryRepository(statements, now)
        self.statistics = StatisticsRepository(statements, now)
        self.events: list[SessionEvent] = []
        self._statements = statements
        self._callbacks = callbacks

    def wants(self, event_type: EventType) -> bool:
        """Whether anybody listens to it: snapshots that nobody looks at are not loaded."""
        return self._callbacks.wants(event_type)

    def publish(self, session_id: str, *event_types: EventType) -> None:
        """Has callbacks of these types called after the commit, with the session as it stands in the unit now."""
        wanted = [each for each in event_types if self.wants(each)]
        session = self.sessions.get(session_id) if wanted else None
        if session is not None:
            self.events.extend(SessionEvent(each, session_id, session) for each in wanted)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What happens inside, events too, is kept whole or not at all; the rest of the unit stays."""
        published = len(self.events)
        self._statements.run("SAVEPOINT inner_unit")
        try:
            yield
        except BaseException:
            del self.events[published:]
            # When the whole transaction is gone, so is the savepoint.
            if self._statements.is_in_transaction():
                self._statements.run("ROLLBACK TO inner_unit")
                self._statements.run("RELEASE inner_unit")
            raise
        self._statements.run("RELEASE inner_unit")
