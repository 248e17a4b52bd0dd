"""Noticing what was committed, by whatever process: one thread of a store looks, and wakes up whom it concerns.

Nobody tells other processes of a commit, so somebody has to look. A look that finds nothing costs some microseconds;
one that does is followed by one read for all sessions that are watched, so that watchers of a quiet session sleep on
beside a busy writer.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from weakref import WeakSet

from sessionstore.errors import ManagerClosedError
from sessionstore.maintenance import Job, MaintenanceLoop, ShouldStop
from sessionstore.persistence.engines.base import Engine
from sessionstore.persistence.following import Point
from sessionstore.persistence.unit import UnitOfWork

# A change is to be seen within 50 ms. 25 looks a second take about 1 % of a core, nine tenths of it for waking up.
LOOK_SECONDS = 0.04
# Between looks at a database that fails.
OUTAGE_LOOK_SECONDS = 1.0


class Follower:
    """Where somebody who watches one session stands: behind `known_to`, at `version` (0 when it is gone).

    It belongs to its watcher's thread. While the watcher sleeps the feed moves `known_to` over events of others.
    """

    def __init__(self, session_id: str, known_to: Point, version: int) -> None:
        self.session_id = session_id
        # Replaced as a whole: its watcher may ask for it while the feed moves it.
        self.known_to = known_to
        self.version = version
        self.is_woken = False
        # Of all ways to wake a thread the one that a signal handler may use too.
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def move(self, known_to: Point, version: int) -> None:
        """To what was read just now."""
        self.known_to, self.version = known_to, version
        self.is_woken = False

    def wake(self) -> None:
        self.is_woken = True
        # One that lies there wakes as well as two: who never sleeps would never take them away.
        if self._wakes.empty():
            self._wakes.put(None)

    def wait(self, seconds: float | None) -> bool:
        """Sleeps until there may be something to read; False when `seconds` passed first."""
        with suppress(Empty):
            while not self.is_woken:
                self._wakes.get(timeout=seconds)
        return self.is_woken


class Feed:
    """Wakes followers when their session changed, and whoever wants to know of every commit.

    The thread runs while there is somebody. Followers are held weakly: who drops a watch need not end it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.RLock()
        self._followers: WeakSet[Follower] = WeakSet()
        self._on_commit: Callable[[], object] | None = None
        self._mark: int | None = None
        # Set by whoever may have missed a look: what it would have told, the next one tells.
        self._is_due = False
        self._loop: MaintenanceLoop | None = None

    def follow(self, follower: Follower) -> None:
        """Wakes it whenever its session is not as it knows it."""
        with self._lock:
            self._followers.add(follower)
            self.look_again()
            self._start()

    def leave(self, follower: Follower) -> None:
        with self._lock:
            self._followers.discard(follower)

    def look_again(self) -> None:
        """To be called once a follower has moved: commits since its read may have been noticed while it was awake."""
        self._is_due = True

    def call_at_commits(self, call: Callable[[], object] | None) -> None:
        """Has `call` called, on the thread of the feed, after commits; it must be quick. None for nobody any more."""
        with self._lock:
            self._on_commit = call
            if call is not None:
                self.look_again()
                self._start()

    def stop(self, timeout: float) -> bool:
        """For the closing store: wakes everybody, and ends the thread; False when that took over `timeout` seconds."""
        self._wake_all()
        with self._lock:
            loop = self._loop
        return loop is None or loop.stop(timeout)

    def _start(self) -> None:
        if self._loop is None:
            self._job = Job("looking for changes", self._look, LOOK_SECONDS)
            self._loop = MaintenanceLoop(self._job, name="sessionstore-feed")
            self._loop.start()

    def _look(self, _: ShouldStop) -> None:
        if self._is_left():
            return
        self._job.interval_seconds = OUTAGE_LOOK_SECONDS
        try:
            mark = self._engine.change_mark()
            if mark != self._mark or self._is_due:
                # In this order: who asks for another look meanwhile gets it.
                self._is_due, self._mark = False, mark
                self._tell()
        except ManagerClosedError:
            self._wake_all()
            self._end()
        except BaseException:
            # They ask for themselves, and hear what is wrong.
            self._is_due = True
            self._wake_all()
            raise
        self._job.interval_seconds = LOOK_SECONDS

    def _is_left(self) -> bool:
        with self._lock:
            if self._followers or self._on_commit is not None:
                return False
            self._end()
            return True

    def _end(self) -> None:
        with self._lock:
            if self._loop is not None:
                self._loop.stop(0)
            self._loop = None

    def _tell(self) -> None:
        on_commit, asleep = self._on_commit, self._asleep()
        if on_commit is not None:
            on_commit()
        if not asleep:
            return
        ids = list({follower.session_id for follower in asleep})
        known_to = min(follower.known_to.event_id for follower in asleep)

        def read(unit: UnitOfWork) -> tuple[Point, dict[str, int], dict[str, int]]:
            changes = unit.changes
            return changes.latest(), changes.last_events(ids, known_to), changes.versions(ids)

        latest, last_events, versions = self._engine.read(read)
        for follower in asleep:
            session_id = follower.session_id
            # Versions tell of progress, and events of all else: a session that was made again may be at the same one.
            is_told_of = last_events.get(session_id, 0) > follower.known_to.event_id
            if is_told_of or versions.get(session_id, 0) != follower.version:
                follower.wake()
            else:
                follower.known_to = latest

    def _asleep(self) -> list[Follower]:
        """Those that are awake read for themselves; where they stand is not to be moved, nor read from."""
        with self._lock:
            return [follower for follower in self._followers if not follower.is_woken]

    def _wake_all(self) -> None:
        for follower in self._asleep():
            follower.wake()
