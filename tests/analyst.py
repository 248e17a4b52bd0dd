"""An analyst: a program that reads a store's file with Python's sqlite3, and knows nothing of the library.

`python analyst.py FILE USER`. It becomes that user, unless it is 0, opens the file read-only, and answers each line on
its standard input with a line of JSON: `look N`, `begin`, `again`, `end`, `may-write`.
"""

import json
import os
import sqlite3
import sys
from typing import Any

COUNTS = ("created", "started", "completed", "failed", "cancelled", "retried", "recovered", "scene")


class Analyst:
    """Its answers."""

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(path)
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    def answer(self, command: str, *rest: str) -> Any:
        if command == "look":
            return self.look(int(rest[0]))
        if command == "may-write":
            return os.access(self._folder, os.W_OK)
        if command != "again":
            self._connection.execute({"begin": "BEGIN", "end": "COMMIT"}[command])
        return self.reports()

    def look(self, times: int) -> list[Any]:
        """Looks so many times; the first disagreement within one transaction, or nothing."""
        for _ in range(times):
            self._connection.execute("BEGIN")
            before, disagreements, after = self.reports(), self.disagreements(), self.reports()
            self._connection.execute("COMMIT")
            if disagreements or before != after:
                return disagreements or [before, after]
        return []

    def reports(self) -> dict[str, list[Any]]:
        """Every view that there is, but the column that asks the clock."""
        names = "SELECT name FROM sqlite_schema WHERE type = 'view' AND name LIKE 'report_%' ORDER BY name"
        reports = {}
        for (name,) in self._connection.execute(names).fetchall():
            cursor = self._connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3, 4")  # noqa: S608 - a view's name
            kept = [index for index, column in enumerate(cursor.description) if column[0] != "quiet_ms"]
            reports[name] = [tuple(row[index] for index in kept) for row in cursor]
        return reports

    def disagreements(self) -> list[Any]:
        """What must be equal at every moment, and is not."""
        totals = self._one("SELECT sum(session_count) FROM session_totals")
        gone = totals + self._one("SELECT count(*) FROM report_sessions WHERE gone_at IS NOT NULL")
        there_were = totals + self._one("SELECT count(*) FROM report_sessions")
        hourly, daily = self._flows("report_hourly"), self._flows("report_daily")
        pairs = [
            (there_were, hourly[0]),
            (hourly, daily),
            (gone, self._one("SELECT sum(session_count) FROM report_departures")),
            (hourly[-1], self._one("SELECT sum(scene_count) FROM report_scenes")),
            (there_were - gone, self._one("SELECT count(*) FROM sessions")),
        ]
        return [pair for pair in pairs if pair[0] != pair[1]]

    def _flows(self, view: str) -> list[int]:
        return [self._one(f"SELECT sum({name}_count) FROM {view}") for name in COUNTS]  # noqa: S608 - names of ours

    def _one(self, statement: str) -> int:
        return int(self._connection.execute(statement).fetchone()[0] or 0)


def main() -> None:
    path, user = sys.argv[1], int(sys.argv[2])
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    analyst = Analyst(path)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(analyst.answer(*line.split())), flush=True)


if __name__ == "__main__":
    main()
