"""The unit of work: what one transaction is made of."""

import logging
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, TypeVar

from sessionstore.errors import DatabaseUnavailableError, SessionCorruptedError
from sessionstore.events import CallbackRegistry, EventType, SessionEvent
from sessionstore.persistence.audit import AuditRepository
from sessionstore.persistence.calls import CallRepository
from sessionstore.persistence.choosing import ChoiceRepository
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.examination import ExaminationRepository
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.following import ChangeRepository
from sessionstore.persistence.history import HistoryRepository
from sessionstore.persistence.listing import ListingRepository
from sessionstore.persistence.mending import MendingRepository
from sessionstore.persistence.metrics import MetricsRepository
from sessionstore.persistence.recounting import Recounting
from sessionstore.persistence.reports import ReportRepository
from sessionstore.persistence.repository import SessionRepository
from sessionstore.persistence.runs import RunRepository
from sessionstore.persistence.scenes import SceneRepository
from sessionstore.persistence.soundness import SoundnessRepository
from sessionstore.persistence.statistics import StatisticsRepository
from sessionstore.persistence.totals import TotalsRepository

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
        self.events: list[SessionEvent] = []
        # Set by the engine at the end of the transaction: a block that is cleaned up late must not touch the next one.
        self.is_over = False
        self._savepoints = 0
        self._statements = statements
        self._callbacks = callbacks

    @property
    def history(self) -> HistoryRepository:
        """What is kept of changes, and of sessions that are gone."""
        return HistoryRepository(self._statements, self.now, self.sessions)

    @property
    def scenes(self) -> SceneRepository:
        """The scenes of sessions."""
        return self.sessions.scenes

    @property
    def listing(self) -> ListingRepository:
        """Sessions in their order."""
        return ListingRepository(self._statements, self.codec)

    @property
    def choices(self) -> ChoiceRepository:
        """Which sessions go, or are worked on, next."""
        return ChoiceRepository(self._statements)

    @property
    def mending(self) -> MendingRepository:
        """What there is of damaged sessions."""
        return MendingRepository(self._statements, self.codec, self.now, self.sessions)

    @property
    def changes(self) -> ChangeRepository:
        """What changed since somebody last looked."""
        return ChangeRepository(self._statements)

    @property
    def runs(self) -> RunRepository:
        """Who works on which session."""
        return RunRepository(self._statements, self.now)

    @property
    def calls(self) -> CallRepository:
        """The ledger of paid calls."""
        return CallRepository(self._statements, self.now)

    @property
    def statistics(self) -> StatisticsRepository:
        """Counts and ages."""
        return StatisticsRepository(self._statements, self.now)

    @property
    def audit(self) -> AuditRepository:
        """Whether accounts add up."""
        return AuditRepository(self._statements)

    @property
    def recounting(self) -> Recounting:
        """Whether kept counts are right, and how they become so."""
        return Recounting(self._statements)

    @property
    def examination(self) -> ExaminationRepository:
        """What the doctor asks of the rows."""
        return ExaminationRepository(self._statements)

    @property
    def soundness(self) -> SoundnessRepository:
        """Whether rows are what was signed."""
        return SoundnessRepository(self._statements, self.codec)

    @property
    def totals(self) -> TotalsRepository:
        """What events amount to, by the hour."""
        return TotalsRepository(self._statements)

    @property
    def reports(self) -> ReportRepository:
        """The answers of the views."""
        return ReportRepository(self._statements)

    @property
    def metrics(self) -> MetricsRepository:
        """Figures for monitoring."""
        return MetricsRepository(self._statements)

    def wants(self, event_type: EventType) -> bool:
        """Whether anybody listens to it: snapshots that nobody looks at are not loaded."""
        return self._callbacks.wants(event_type)

    def publish(self, session_id: str, *event_types: EventType) -> None:
        """Has callbacks of these types called after the commit, with the session as it stands in the unit now.

        A write does the same whether or not somebody listens: of a corrupted session nobody is told.
        """
        if self._callbacks.is_silent:
            return
        wanted = [each for each in event_types if self._callbacks.wants(each)]
        try:
            session = self.sessions.get(session_id) if wanted else None
        except SessionCorruptedError as error:
            logger.warning("no callback is called: %s", error)
            return
        if session is not None:
            self.events.extend(SessionEvent(each, session_id, session) for each in wanted)

    def nest(self, work: "Callable[[UnitOfWork], T]") -> T:
        """Runs `work` in a savepoint: what it does, events too, is kept whole or not at all."""
        name, published = self._name_savepoint(), len(self.events)
        try:
            self._statements.run(f"SAVEPOINT {name}")
            result = work(self)
            self._statements.run(f"RELEASE {name}")
        except BaseException:
            self._undo(name, published)
            raise
        return result

    def savepoint(self) -> Generator[None, None, None]:
        """As `nest`, around one `yield`."""
        name, published = self._name_savepoint(), len(self.events)
        try:
            self._statements.run(f"SAVEPOINT {name}")
            yield
            self._statements.run(f"RELEASE {name}")
        except BaseException:
            self._undo(name, published)
            raise

    def _name_savepoint(self) -> str:
        """One that its transaction has once only, so that undoing one that never began hits no other."""
        self._savepoints += 1
        return f"inner_{self._savepoints}"

    def _undo(self, name: str, published: int) -> None:
        del self.events[published:]
        self.sessions.forget_written()
        # When the whole transaction is gone, so is the savepoint.
        if self.is_over or not self._statements.is_in_transaction():
            return
        try:
            self._statements.run(f"ROLLBACK TO {name}")
            self._statements.run(f"RELEASE {name}")
        except DatabaseUnavailableError:
            # What cannot be undone in part is undone as a whole; whoever goes on in the transaction is told so.
            self._statements.run("ROLLBACK")
