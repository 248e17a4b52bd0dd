"""Access times, written behind: a read never waits for a writer, and never writes by itself.

They are collected here and saved together, at most `touch_interval` seconds later and at shutdown, as one more
write in the queue. They are the only thing that a crash may lose.
"""

from datetime import datetime
from itertools import islice
from threading import Lock

from sessionstore.persistence.engines.base import Engine

# Some milliseconds of work, so that a store of which everything was read holds no writer up.
SAVED_AT_ONCE = 500


class AccessTimes:
    """When sessions were last read, as far as it is not saved yet."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._unsaved: dict[str, datetime] = {}

    def note(self, session_id: str, moment: datetime) -> None:
        """Remembers a read."""
        with self._lock:
            self._unsaved[session_id] = moment

    def latest(self, session_id: str, saved: datetime) -> datetime:
        """The access time of a session, saved or not."""
        return max(saved, self._unsaved.get(session_id, saved))

    def save(self, engine: Engine) -> None:
        """Writes what is unsaved. What fails is kept for the next time, and the error is raised."""
        with self._lock:
            taken, self._unsaved = self._unsaved, {}
        while taken:
            part = dict(islice(taken.items(), SAVED_AT_ONCE))
            try:
                engine.write(lambda unit, part=part: unit.sessions.touch(part))  # type: ignore[misc]
            except BaseException:
                with self._lock:
                    self._unsaved = taken | self._unsaved
                raise
            for session_id in part:
                del taken[session_id]
