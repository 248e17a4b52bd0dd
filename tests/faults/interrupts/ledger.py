"""What writers were told, and whether it is so: the question that every interruption ends with."""

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sessionstore import GenerationSession, SessionManager
from tests.concurrency import ask, engine_of, request

# A manager that does nothing of its own accord, so that whoever is inside it later was left behind.
QUIET: dict[str, Any] = {"durability": "normal", "recovery_interval": None, "summary_interval": None}


class Ledger:
    """Writes of a test and their acknowledgements. A write that was interrupted may be there or not."""

    def __init__(self, database: Path, manager: SessionManager) -> None:
        self.created: list[str] = []
        self.counted: dict[str, int] = {}
        self.interrupted: dict[str, int] = {}
        self._numbers = itertools.count()
        self._database = database
        self._manager = manager

    def write_for_ever(self, name: str) -> None:
        """Makes sessions and counts in the first of them, until something is raised."""
        self._manager.create_session(request(), session_id=name)
        self.counted.setdefault(name, 0)
        while True:
            session_id = f"{name}-{next(self._numbers)}"
            self.created.append(self._manager.create_session(request(), session_id=session_id))
            self._manager.with_session_lock(name, _count_one_more)
            self.counted[name] += 1

    def note_interruption(self, name: str) -> None:
        self.interrupted[name] = self.interrupted.get(name, 0) + 1

    def damage(self) -> list[str]:
        """What is not as it was promised; to be asked when nobody writes."""
        found = [f"the transaction of an interrupted write is open: {error}" for error in self._trouble_of_others()]
        if any(place.is_inside for place in engine_of(self._manager).gate._places):
            found.append("somebody is still inside, for whom shutdown would wait")
        there = {session_id for (session_id,) in ask(self._database, "SELECT session_id FROM sessions")}
        found += [f"{session_id} was acknowledged and is lost" for session_id in set(self.created) - there]
        counts = dict(ask(self._database, "SELECT session_id, coalesce(metadata ->> 'count', 0) FROM sessions"))
        for name, acknowledged in self.counted.items():
            if not acknowledged <= counts.get(name, -1) <= acknowledged + self.interrupted.get(name, 0):
                found.append(f"{name} counted {counts.get(name)} of {acknowledged}")
        return found

    def summary(self, found: list[str]) -> str:
        """A line of the table."""
        return f"{len(self.created):,} writes acknowledged, {len(found)} lost or left behind"

    def _trouble_of_others(self) -> list[str]:
        """What another program hears that wants to write now."""
        with closing(sqlite3.connect(self._database, isolation_level=None, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                return [str(error)]
        return []


def _count_one_more(session: GenerationSession) -> None:
    session.metadata["count"] = session.metadata.get("count", 0) + 1
