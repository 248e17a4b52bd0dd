"""A model of what a disk holds when the power goes: what was synced for certain, of the rest whatever chance leaves.

Stricter than most file systems. A sync of a file makes what was written to that file durable and nothing else, not
even its name; names are durable once their folder is synced. Of what was not synced any part may be there: later
writes without earlier ones, single sectors of a write, the size of a file without its data, a removal without the
creation beside it. A sync that failed leaves its data to chance for good: the next one does not bring it back.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.injection.shim import Change, Record

# What disks write whole, and what file systems do.
SECTOR_BYTES = (512, 4096)


@dataclass
class _File:
    """What is durable of a file, and the writes and truncations since."""

    durable: bytearray
    pending: list[Record] = field(default_factory=list)


@dataclass
class Folder:
    """What is durable before a run begins."""

    names: dict[str, int]
    contents: dict[int, bytes]

    @classmethod
    def of(cls, path: Path) -> "Folder":
        inodes = {str(each): each.stat().st_ino for each in path.iterdir()}
        return cls(inodes, {inode: Path(name).read_bytes() for name, inode in inodes.items()})


class Disk:
    """Fed with the records of a run one by one; gives states that a power cut could leave at that moment."""

    def __init__(self, before: Folder, chance: random.Random) -> None:
        self._chance = chance
        self._files = {inode: _File(bytearray(content)) for inode, content in before.contents.items()}
        self._names = dict(before.names)
        self._pending_names: list[Record] = []

    def apply(self, record: Record) -> None:
        """The next thing that happened."""
        match record.change:
            case Change.WRITTEN | Change.TRUNCATED:
                self._files[record.inode].pending.append(record)
            case Change.CREATED:
                self._files[record.inode] = _File(bytearray())
                self._pending_names.append(record)
            case Change.LINKED | Change.UNLINKED | Change.RENAMED:
                self._pending_names.append(record)
            case Change.SYNCED | Change.SYNC_LOST:
                self._sync(record)
            case Change.MARK:
                pass
            case Change.FOLDER_MADE:
                raise NotImplementedError("folders inside the folder are not part of the model")

    def cut_power(self) -> dict[str, bytes]:
        """The files that are found afterwards, by path."""
        share = self._chance.choice((0.0, 1.0, self._chance.random()))
        names = dict(self._names)
        for record in self._some(self._pending_names, share):
            _rename(names, record)
        # A name may have become durable whose file never did.
        return {path: self._content(self._files[inode], share) for path, inode in names.items()}

    def _sync(self, record: Record) -> None:
        if record.inode in self._files:
            file = self._files[record.inode]
            is_lost = record.change is Change.SYNC_LOST
            kept = self._some(file.pending, self._chance.choice((0.0, 0.5))) if is_lost else file.pending
            for each in kept:
                _edit(file.durable, each)
            file.pending = []
        elif record.change is Change.SYNCED:
            # Not a file: the folder. One whose sync failed keeps its changes in the journal of the file system.
            for each in self._pending_names:
                _rename(self._names, each)
            self._pending_names = []

    def _content(self, file: _File, share: float) -> bytes:
        content = bytearray(file.durable)
        for record in file.pending:
            if self._chance.random() < share:
                _edit(content, record)
            elif self._chance.random() < 0.2:
                self._tear(content, record)
        return bytes(content)

    def _tear(self, content: bytearray, record: Record) -> None:
        """Does it in part: some sectors of the data, or none though the file has grown for them."""
        if record.change is not Change.WRITTEN:
            return
        end = record.offset + len(record.data)
        if len(content) < end and self._chance.random() < 0.5:
            content.extend(bytes(end - len(content)))
        sector = self._chance.choice(SECTOR_BYTES)
        at = record.offset
        while at < end:
            until = min(at - at % sector + sector, end)
            if self._chance.random() < 0.5:
                data = record.data[at - record.offset : until - record.offset]
                _edit(content, Record(Change.WRITTEN, 0, at, "", data))
            at = until

    def _some(self, records: Iterable[Record], share: float) -> list[Record]:
        return [each for each in records if self._chance.random() < share]


def put(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes files as `cut_power` gives them into an empty folder, by their last names."""
    for path, content in files.items():
        (folder / Path(path).name).write_bytes(content)


def _edit(content: bytearray, record: Record) -> None:
    if len(content) < record.offset:
        content.extend(bytes(record.offset - len(content)))
    if record.change is Change.TRUNCATED:
        del content[record.offset :]
    else:
        content[record.offset : record.offset + len(record.data)] = record.data


def _rename(names: dict[str, int], record: Record) -> None:
    if record.change is Change.UNLINKED:
        names.pop(record.path, None)
        return
    if record.change is Change.RENAMED:
        names.pop(record.data.decode(), None)
    names[record.path] = record.inode
