"""Has the system calls of child processes counted, recorded, failed, cut short, delayed, or be their last.

A test makes a `Control` for a folder, arms rules, and starts a child: with `control.environment(library)`, where
`library` is the fixture `shim_library`, or as a child of a `Zygote`. Rules can be armed, read and disarmed at any
moment, also for several children, which count together:

    control = Control(tmp_path / "control", folder=database.parent)
    rule = control.arm(Action.FAIL, {Kind.WRITE}, first=3, error=errno.ENOSPC)     # the third write, once
    rule = control.arm(Action.FAIL, {Kind.SYNC}, first=30, every=30, last=FOREVER) # every 30th sync; EIO
    rule = control.arm(Action.KILL_AFTER, set(Kind), first=17)                     # kill -9 after the 17th call
    rule = control.arm(Action.COUNT, set(Kind), suffix="-wal")                     # how many are there?
    subprocess.run([sys.executable, ...], env=control.environment(shim_library))
    assert rule.done == 1

With `log_bytes`, what reaches the disk is recorded, in one order over all processes. A child adds to it what it was
told by `mark`. Which calls are seen, and which are not, is said in `shim.c`.
"""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Self

CONTROL_VARIABLE = "FAULT_CONTROL"
FOREVER = 2**64 - 1

# All of these mirror `shim.c`.
_RULES = 4
_LOG_START = 4096
_ENTRY = struct.Struct("IIQQII")


class Kind(IntEnum):
    """Kinds of calls: LOCK and UNLOCK are fcntl, MAP mmap, LOOK stat and access; the others are called so."""

    OPEN = 0
    CLOSE = 1
    READ = 2
    WRITE = 3
    SYNC = 4
    TRUNCATE = 5
    UNLINK = 6
    LINK = 7
    RENAME = 8
    MKDIR = 9
    MAP = 10
    LOCK = 11
    LOOK = 12
    UNLOCK = 13


class Action(IntEnum):
    """What happens to a call that a rule matches. SHORTEN writes half; LIE lets a sync say that it was done."""

    COUNT = 0
    FAIL = 1
    SHORTEN = 2
    LIE = 3
    KILL_BEFORE = 4
    KILL_AFTER = 5
    DELAY = 6


class Change(IntEnum):
    """What a record tells. SYNC_LOST: a sync that failed or lied, and left nothing to be synced by the next."""

    CREATED = 1
    WRITTEN = 2
    TRUNCATED = 3
    SYNCED = 4
    SYNC_LOST = 5
    UNLINKED = 6
    LINKED = 7
    RENAMED = 8
    FOLDER_MADE = 9
    MARK = 10


class _Rule(ctypes.Structure):
    _fields_ = (
        ("kinds", ctypes.c_uint32),
        ("action", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("delay_us", ctypes.c_uint32),
        ("first", ctypes.c_uint64),
        ("every", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("seen", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
        ("suffix", ctypes.c_char * 48),
    )


class _Block(ctypes.Structure):
    _fields_ = (
        ("order", ctypes.c_char * 64),
        ("state", ctypes.c_uint32),
        ("is_recording", ctypes.c_uint32),
        ("size", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
        ("is_full", ctypes.c_uint32),
        ("folder", ctypes.c_char * 1024),
        ("rules", _Rule * _RULES),
    )


@dataclass(frozen=True, slots=True)
class Record:
    """One change: of the file with that inode number, at that offset (a size, when TRUNCATED).

    `data` is what was written, the text of a mark, or the path that was renamed.
    """

    change: Change
    inode: int
    offset: int
    path: str
    data: bytes


class Rule:
    """An armed rule; `seen` calls matched so far, and it acted on `done` of them."""

    def __init__(self, fields: _Rule) -> None:
        self._fields = fields

    @property
    def seen(self) -> int:
        return int(self._fields.seen)

    @property
    def done(self) -> int:
        return int(self._fields.done)

    def disarm(self) -> None:
        self._fields.kinds = 0


class Control:
    """What happens to calls on files under `folder`, in all processes that are started under it."""

    def __init__(self, path: Path, folder: Path, *, log_bytes: int = 0) -> None:
        """`path` is for the control's own file, outside `folder`. Pages of the log take room only once used."""
        self.path = path
        size = _LOG_START + log_bytes
        with path.open("xb") as file:
            file.truncate(size)
        self._map()
        self._block.folder = os.fsencode(folder.resolve())
        self._block.size = size
        self._block.is_recording = int(log_bytes > 0)

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """In another process: the control that was made at `path`."""
        control = cls.__new__(cls)
        control.path = path
        control._map()
        return control

    def _map(self) -> None:
        with self.path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._block = _Block.from_buffer(self._memory)

    def environment(self, library: Path) -> dict[str, str]:
        """For a child that is to be under this control from its first instruction."""
        return os.environ | {"LD_PRELOAD": str(library), CONTROL_VARIABLE: str(self.path)}

    def arm(
        self,
        action: Action,
        kinds: Collection[Kind],
        *,
        first: int = 1,
        every: int = 1,
        last: int | None = None,
        error: int = errno.EIO,
        seconds: float = 0,
        suffix: str = "",
        place: int = 0,
    ) -> Rule:
        """Acts on the `first` matching call from now on, then on each `every`-th up to the `last` (default: only one).

        Only paths that end with `suffix` match. `error` is for FAIL, `seconds` for DELAY. `place` is one of four: the
        rule that was there is gone; of several that match a call the one in the first place acts.
        """
        rule = self._block.rules[place]
        rule.kinds = 0
        rule.action, rule.error, rule.delay_us = action, error, round(seconds * 1_000_000)
        rule.first, rule.every, rule.last = first, every, first if last is None else last
        rule.seen = rule.done = 0
        rule.suffix = suffix.encode()
        # Last: a rule is on as soon as it matches anything.
        rule.kinds = sum(1 << kind for kind in kinds)
        return Rule(rule)

    def records(self) -> Iterator[Record]:
        """What happened up to now, in its order."""
        assert not self._block.is_full, "the log was too small for what happened; give it more bytes"
        at, end = _LOG_START, _LOG_START + self._block.used
        while at < end:
            total, change, inode, offset, path_bytes, data_bytes = _ENTRY.unpack_from(self._memory, at)
            path_at = at + _ENTRY.size
            data_at = path_at + path_bytes
            path = os.fsdecode(self._memory[path_at:data_at])
            yield Record(Change(change), inode, offset, path, self._memory[data_at : data_at + data_bytes])
            at += total


def mark(text: str) -> None:
    """In a child: puts `text` into the record, after everything that happened before."""
    ctypes.CDLL(None).shim_mark(text.encode())


def attach(control: Path) -> None:
    """In a child that was forked from a process with the library: puts it under a control."""
    assert ctypes.CDLL(None).shim_attach(os.fsencode(control)) == 0, f"{control} cannot be mapped"
