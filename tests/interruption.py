"""Interruptions at every point where Python delivers one, in turn, instead of at a lucky one.

A signal handler or an asynchronous exception runs between two bytecodes: when a Python function is entered, or a C
function has returned. A profile function is called there too, and what it raises comes from there.
"""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interruption(BaseException):
    """What a test interrupts with; like KeyboardInterrupt, it is no Exception."""


def interrupt(thread: threading.Thread, kind: type[BaseException] = Interruption) -> None:
    """Has `kind` raised in the thread, as soon as it runs Python again."""
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))


class InterruptAt:
    """Interrupts the thread that calls `install` at its n-th point; `where` says which one that was.

    `sys.setprofile(None)` ends it, called directly: a function around it would be one more point.
    """

    def __init__(self, point: int) -> None:
        self.where: str | None = None
        self._left = point
        # Kept: the interpreter goes on using a profile function that takes itself off, and must not find it freed.
        self._profile = self._count

    def install(self) -> None:
        sys.setprofile(self._profile)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        # Pydantic's serializers ask an enum for its value, and swallow whatever that raises.
        if event not in {"call", "c_return"} or frame.f_code.co_filename.endswith("enum.py"):
            return
        self._left -= 1
        if self._left == 0:
            sys.setprofile(None)
            code = frame.f_code
            called = f" after {argument.__name__}()" if event == "c_return" else ""
            self.where = f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}{called}"
            raise Interruption


@contextmanager
def unraisable_ones() -> Iterator[list[Any]]:
    """Collects what is raised in finalizers, where it cannot reach a caller; nobody else reports it meanwhile."""
    collected: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, collected.append
    try:
        yield collected
    finally:
        sys.unraisablehook = before
