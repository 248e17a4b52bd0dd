"""SIGTERM and Ctrl-C while a run is worked on in the main thread: let what must not be cut short finish, then stop."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from sessionstore.persistence.engines.gate import Gate

# What a shell reports of a process that a signal ended.
EXIT_CODE = 128 + signal.SIGTERM
# How often it is looked whether what was waited for has finished.
LOOK_SECONDS = 0.01

# The handlers that are replaced: nobody chose them.
_UNCHOSEN = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


class Termination:
    """Has a signal raise in the main thread, but not inside a call of the store or a provider's submit.

    SIGTERM raises `SystemExit`, Ctrl-C `KeyboardInterrupt`. `stop` is told what will be raised, as soon as it is known.
    """

    def __init__(self, gate: Gate, stop: Callable[[BaseException], None]) -> None:
        self._gate = gate
        self._stop = stop
        self.was_asked = False
        self._is_ending = False
        self._is_repeated = False
        self._before: dict[int, Any] = {}

    @classmethod
    def expected(cls, gate: Gate, stop: Callable[[BaseException], None]) -> Self | None:
        """Installed until `restore`; None outside the main thread. A handler that the program chose is left alone."""
        if threading.current_thread() is not threading.main_thread():
            return None
        termination = cls(gate, stop)
        for number, unchosen in _UNCHOSEN.items():
            if signal.getsignal(number) == unchosen:
                termination._before[number] = signal.signal(number, termination._handle)
        return termination

    def end(self) -> None:
        """From now on nothing is raised any more: the block ends, and whoever ends it looks whether to stop."""
        self._is_ending = True

    def restore(self) -> None:
        """Puts back what was there, unless somebody installed another handler meanwhile.

        Not when the process was asked to end: the signal that comes again must not find the system's own handler.
        """
        if self.was_asked:
            return
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_CODE)
        is_first, is_repeated = not self.was_asked, self._is_repeated
        self.was_asked, self._is_repeated = True, False
        self._stop(error)
        if is_repeated and self._is_ending:
            return
        # Who asks twice does not want to wait.
        if is_first and (self._is_ending or self._gate.place.is_inside):
            self._repeat_later(number)
            return
        raise error

    def _repeat_later(self, number: int) -> None:
        """Has the signal come again when the call that is going on has finished."""
        place, thread = self._gate.place, threading.get_ident()

        def wait() -> None:
            while place.is_inside:
                time.sleep(LOOK_SECONDS)
            self._is_repeated = True
            if not self._is_ending:
                signal.pthread_kill(thread, number)

        threading.Thread(target=wait, name="sessionstore-signal", daemon=True).start()
