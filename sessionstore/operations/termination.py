"""SIGTERM while a run is worked on in the main thread: let what must not be cut short finish, then stop."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from sessionstore.persistence.engines.gate import Gate

# What a shell reports of a process that a signal ended.
EXIT_CODE = 128 + signal.SIGTERM


class Termination:
    """Turns SIGTERM into `SystemExit`, where it would end the process without a word otherwise."""

    def __init__(self, gate: Gate, stop: Callable[[], None]) -> None:
        self.is_deferred = False
        self._gate = gate
        self._stop = stop
        self._was_asked = False
        self._before: Any = signal.signal(signal.SIGTERM, self._handle)

    @classmethod
    def expected(cls, gate: Gate, stop: Callable[[], None]) -> Self | None:
        """Installed until `restore`; None outside the main thread, or when the program handles SIGTERM itself."""
        is_ours = threading.current_thread() is threading.main_thread()
        return cls(gate, stop) if is_ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else None

    def restore(self) -> None:
        """Puts back what was there, unless somebody installed another handler meanwhile."""
        if signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Inside a write, or a provider's submit, that one finishes first. Who asks twice does not want to wait.
        is_patient = not self._was_asked
        self._was_asked = True
        self._stop()
        if not (is_patient and (self.is_deferred or self._gate.place.is_inside)):
            raise SystemExit(EXIT_CODE)
