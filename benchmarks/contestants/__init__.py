"""Who runs the generation. Each is imported only when it runs, so that one that is not installed harms nobody."""

from dataclasses import dataclass
from importlib import import_module

from benchmarks.contestants.base import Contestant


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant by name: how tables and the picture call it, and the class that does it.

    `start_seconds` is what a fresh process takes to import and open it, on a laptop; it only serves to say
    beforehand how long a benchmark takes.
    """

    name: str
    label: str
    module: str
    class_name: str
    start_seconds: float

    def load(self) -> type[Contestant]:
        """The class.

        Raises:
            ImportError: when what it stands on is not installed.
        """
        contestant: type[Contestant] = getattr(import_module(self.module), self.class_name)
        return contestant

    def is_installed(self) -> bool:
        try:
            self.load()
        except ImportError:
            return False
        return True


STORE = Entry("sessionstore", "sessionstore", f"{__name__}.this_store", "ThisStore", 0.9)
BASELINE = Entry("sqlite3", "hand-written sqlite3", f"{__name__}.hand_written", "HandWritten", 0.2)
CORE = (
    STORE,
    Entry("sqlite3-ordered", "sqlite3, time-ordered ids", f"{__name__}.hand_written", "HandWrittenTimeOrdered", 0.2),
    Entry("orm", "usual ORM repository", f"{__name__}.orm_repository", "OrmRepository", 0.7),
)
PEERS = (
    Entry("diskcache", "diskcache", f"{__name__}.peer_diskcache", "DiskcacheSessions", 0.3),
    Entry("langgraph", "LangGraph SQLite saver", f"{__name__}.peer_langgraph", "LangGraphSaver", 1.5),
    Entry("django", "Django sessions", f"{__name__}.peer_django", "DjangoSessions", 0.8),
)
ENTRIES = {entry.name: entry for entry in (BASELINE, *CORE, *PEERS)}
