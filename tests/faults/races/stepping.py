"""Halts another process at a chosen instruction, by ptrace.

So a race that is a few dozen instructions wide is brought about where it is, on a SQLite library as it is installed.
"""

import ctypes
import functools
import os
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

# linux/ptrace.h
SINGLESTEP, ATTACH, DETACH, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 9, 16, 17, 24, 0x4200, 0x420E
SYSCALLS_ARE_MARKED = 1
SYSCALL_STOP = signal.SIGTRAP | 0x80
INFO_BYTES, IS_ENTRY = 88, 1

F_SETLK, F_WRLCK = 6, 1


class Traced:
    """A child of this process, from here to the end of the block; only the thread that made it may use it.

    It stands still until it is told to go on.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        _ptrace(ATTACH, pid)
        self._wait()
        _ptrace(SETOPTIONS, pid, 0, SYSCALLS_ARE_MARKED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):  # It ended, or was killed.
            _ptrace(DETACH, self._pid)

    def run_to_lock(self, byte: int) -> None:
        """Lets it run until it has just got an exclusive lock that begins at this byte of some file."""
        while True:
            self._go_to_system_call()
            if self._is_asking_for_lock(byte):
                self._go_to_system_call()
                if self._result() == 0:
                    return

    def step(self, instructions: int) -> None:
        for _ in range(instructions):
            _ptrace(SINGLESTEP, self._pid)
            self._wait()

    def _go_to_system_call(self) -> None:
        """To the next begin or end of one; signals are handed on to the process."""
        passed_on = 0
        while True:
            _ptrace(SYSCALL, self._pid, 0, passed_on)
            stopped_by = self._wait()
            if stopped_by == SYSCALL_STOP:
                return
            passed_on = 0 if stopped_by in {signal.SIGSTOP, signal.SIGTRAP} else stopped_by

    def _wait(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError(f"the traced process ended with status {status}")
        return os.WSTOPSIG(status)

    def _info(self) -> bytes:
        info = ctypes.create_string_buffer(INFO_BYTES)
        _ptrace(GET_SYSCALL_INFO, self._pid, INFO_BYTES, ctypes.addressof(info))
        return info.raw

    def _result(self) -> int:
        return int(struct.unpack_from("q", self._info(), 24)[0])

    def _is_asking_for_lock(self, byte: int) -> bool:
        info = self._info()
        # Other calls with such a second argument have no such third one.
        _, command, address = struct.unpack_from("QQQ", info, 32)
        if info[0] != IS_ENTRY or command != F_SETLK:
            return False
        with open(f"/proc/{self._pid}/mem", "rb", buffering=0) as memory, suppress(OSError, OverflowError):
            memory.seek(address)
            kind, _, start = struct.unpack("hh4xq", memory.read(16))
            return (kind, start) == (F_WRLCK, byte)
        return False


@functools.cache
def why_not() -> str | None:
    """Why no process can be traced here; None where it can."""
    if not sys.platform.startswith("linux"):
        return "only Linux lets a process be halted at an instruction"
    child = subprocess.Popen(["sleep", "30"])
    try:
        with Traced(child.pid) as traced:
            traced.step(1)
            traced._go_to_system_call()
            traced._info()
    except OSError as error:
        return f"this system does not let a process be traced ({error.strerror})"
    finally:
        child.kill()
        child.wait()
    return None


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _libc().ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return libc
