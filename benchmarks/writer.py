"""Somebody who writes while something else is done to the store."""

import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from benchmarks.contestants.base import Contestant
from benchmarks.generation import run_generation
from benchmarks.notes import Acknowledged, Notes


class Writer(AbstractContextManager["Writer"]):
    """A thread that keeps generating until the end of the block."""

    def __init__(self, store: Contestant) -> None:
        self.notes = Notes()
        self.acknowledged: list[Acknowledged] = []
        self._store = store
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._is_over.is_set():
            each = run_generation(self._store, self.notes)
            if each is not None:
                self.acknowledged.append(each)
