"""SIGTERM and Ctrl-C while a run is worked on in the main thread: let what must not be cut short finish, then stop."""

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Self

from sessionstore.persistence.engines.gate import Gate

# What a shell reports of a process that a signal ended.
EXIT_CODE = 128 + signal.SIGTERM

# What Python does by itself; any other handler is the program's choice.
_PYTHONS_OWN = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


class Termination:
    """Has SIGTERM raise `SystemExit`, and Ctrl-C `KeyboardInterrupt`, once a call of the store that goes on is over.

    `stop` is told at once what will be raised. Who asks a second time does not want to wait: then it is raised
    wherever the main thread is.
    """

    def __init__(self, gate: Gate, stop: Callable[[BaseException], None], ends: CodeType) -> None:
        self.was_asked = False
        self._ends = ends
        self._is_ending = False
        self._gate = gate
        self._stop = stop
        self._before: dict[int, Any] = {}

    @classmethod
    def expected(cls, gate: Gate, stop: Callable[[BaseException], None], ends: CodeType) -> Self | None:
        """Installed until `restore`; None outside the main thread. A handler that the program chose is left alone.

        `ends` is the code that calls `end` first thing: a signal may come on the way there.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        termination = cls(gate, stop, ends)
        for number, pythons_own in _PYTHONS_OWN.items():
            if signal.getsignal(number) == pythons_own:
                termination._before[number] = signal.signal(number, termination._handle)
        return termination

    def end(self) -> None:
        """From now on a first signal is only told to `stop`: whoever ends the run raises it afterwards."""
        self._is_ending = True

    def restore(self) -> None:
        """Puts back what was there, unless somebody installed another handler meanwhile."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
        # Who ends the run raises it now; a later call of the store must not do so once more.
        if self.was_asked:
            self._gate.place.raised_at_the_end = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_CODE)
        is_first, self.was_asked = not self.was_asked, True
        self._stop(error)
        if is_first and (self._is_ending or self._is_about_to_end(frame)):
            return
        if is_first and self._gate.place.is_inside:
            self._gate.place.raised_at_the_end = error
            return
        raise error

    def _is_about_to_end(self, frame: FrameType | None) -> bool:
        while frame is not None and frame.f_code is not self._ends:
            frame = frame.f_back
        return frame is not None
