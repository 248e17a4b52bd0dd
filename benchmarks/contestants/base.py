"""What every contestant can do. Each method returns once the store has acknowledged the write."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

# What everybody waits for the write lock at most: what a backend would set, and never reached in a sound run.
BUSY_TIMEOUT_SECONDS = 30


class Seen(NamedTuple):
    """A session as it is saved: what verification compares with what was acknowledged."""

    status: str
    step: int | None
    scenes: list[int]


class Contestant(ABC):
    """One store, open in one process, used by all its threads."""

    @abstractmethod
    def __init__(self, path: Path, durability: str) -> None:
        """Opens the store at `path`, making it when there is none; `durability` is full or normal."""

    @abstractmethod
    def create(self, story: str) -> str:
        """A new session; its id."""

    @abstractmethod
    def set_status(self, session_id: str, status: str) -> None: ...

    @abstractmethod
    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None: ...

    @abstractmethod
    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def read(self, session_id: str) -> list[int]:
        """Reads and decodes the whole session; the numbers of its scenes, in order."""

    @abstractmethod
    def look(self, session_id: str) -> Seen | None:
        """The session as it is saved, None when it is not there; for verification, never timed."""

    @abstractmethod
    def close(self) -> None:
        """Ends what is open, connections of threads that ended as well."""
