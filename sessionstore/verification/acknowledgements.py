"""What children said they had saved, and whether it is there."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sessionstore.manager import SessionManager
from sessionstore.models import GenerationSession
from sessionstore.verification.stories import Story, state_of
from sessionstore.verification.verdicts import Figure

SESSIONS_ON_A_PAGE = 500


@dataclass
class Comparison:
    """How a store differs from what was acknowledged; each difference is also a sentence."""

    lost_writes: int = 0
    torn_sessions: int = 0
    foreign_sessions: int = 0
    sentences: list[str] = field(default_factory=list)


class Acknowledgements:
    """Steps of stories that were reported as saved, by the id of the session. Noted by one thread, read by another.

    Of a session one more step may be there: it was on its way when its writer was killed.
    """

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}
        self.write_us = array("q")
        self.errors: list[str] = []
        self._last: dict[str, int] = {}

    def expect(self, writer: str, threads: int) -> None:
        """From now on these threads write stories, numbered from 1."""
        self._last |= {f"{writer}.{thread}": 0 for thread in range(threads)}

    def note(self, kind: str, *facts: object) -> None:
        """A report of a writer: `saved` a step, or `failed` with an error."""
        if kind == "saved":
            session_id, step, microseconds = facts
            assert isinstance(session_id, str)
            assert isinstance(step, int)
            assert isinstance(microseconds, int)
            self.steps[session_id] = step
            self.write_us.append(microseconds)
            thread, _, number = session_id.rpartition("-")
            self._last[thread] = int(number)
        elif kind == "failed":
            self.errors.append(str(facts[0]))

    def forget_sessions(self) -> None:
        """The database is gone, and with it all that had to be there; how long writes took stays known."""
        self.steps.clear()
        self._last.clear()

    def __len__(self) -> int:
        return len(self.write_us)

    def sessions_of(self, writers: Iterable[str]) -> list[str]:
        """The ids that these writers acknowledged a step of."""
        wanted = set(writers)
        return [session_id for session_id in self.steps if session_id.partition(".")[0] in wanted]

    def compare(self, manager: SessionManager, session_ids: Iterable[str]) -> Comparison:
        """Whether these sessions stand as they must."""
        found = Comparison()
        for session_id in session_ids:
            self._compare(found, session_id, manager.get_session(session_id))
        return found

    def compare_all(self, manager: SessionManager) -> Comparison:
        """Whether all sessions stand as they must, and there are no others."""
        found, missing, cursor = Comparison(), dict(self.steps), None
        while True:
            page = manager.list_sessions(limit=SESSIONS_ON_A_PAGE, cursor=cursor)
            for session in page.sessions:
                missing.pop(session.session_id, None)
                self._compare(found, session.session_id, session)
            cursor = page.next_cursor
            if cursor is None:
                break
        for session_id in missing:
            self._compare(found, session_id, None)
        return found

    def _compare(self, found: Comparison, session_id: str, session: GenerationSession | None) -> None:
        story, acknowledged = Story(session_id), self.steps.get(session_id, 0)
        if session is None:
            found.lost_writes += acknowledged
            found.sentences.append(f"session {session_id} is gone, of which {acknowledged} writes were acknowledged")
            return
        if not acknowledged and not self._may_be_on_its_way(session_id):
            found.foreign_sessions += 1
            found.sentences.append(f"nobody wrote a session {session_id}, but there is one")
            return
        state = state_of(session)
        if any(state == story.state(step) for step in (acknowledged, acknowledged + 1) if 0 < step <= story.steps):
            return
        for step in range(acknowledged - 1, 0, -1):
            if state == story.state(step):
                found.lost_writes += acknowledged - step
                found.sentences.append(
                    f"session {session_id} stands after write {step}, but {acknowledged} were acknowledged"
                )
                return
        found.torn_sessions += 1
        found.sentences.append(
            f"session {session_id} stands as after none of its writes; {acknowledged} were acknowledged"
        )

    def _may_be_on_its_way(self, session_id: str) -> bool:
        thread, _, number = session_id.rpartition("-")
        return number.isdecimal() and self._last.get(thread) == int(number) - 1

    def figures(self) -> dict[str, Figure]:
        """How many writes were acknowledged, and how long they took."""
        times = sorted(self.write_us)
        found: dict[str, Figure] = {"acknowledged_writes": len(times)}
        if times:
            found["p50_write_ms"] = at_share(times, 0.5) / 1000
            found["p99_write_ms"] = at_share(times, 0.99) / 1000
            found["worst_write_ms"] = times[-1] / 1000
        return found


def at_share(ordered: Sequence[int], share: float) -> int:
    """The value that so large a share of them does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
