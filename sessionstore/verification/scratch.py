"""The scratch folder beside a database: on the same disk, for its owner only, and gone at the end."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sessionstore.verification.verdicts import CannotBeginError

PREFIX = ".sessionstore-verify-"


class Scratch:
    """A folder of one run. Its databases are named here, so that they are made nowhere else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where the scratch database of that name is; for programs that are not the store."""
        return self.folder / f"{name}.db"

    def url(self, name: str) -> str:
        """What a manager opens it by."""
        return f"sqlite:///{self.path(name)}"

    def bytes(self) -> int:
        """All that lies in the folder. By names only: opening a database's file would drop the locks on it."""
        sizes = 0
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):  # SQLite removes files when the last process closes them.
                sizes += entry.stat(follow_symlinks=False).st_size
        return sizes

    def clear(self) -> None:
        """Removes all databases; nobody may have one open."""
        for entry in os.scandir(self.folder):
            os.unlink(entry.path)


def place_for(database_url: str) -> Path:
    """The folder to make a scratch folder in: that of the database, which need not exist itself.

    The one place that knows how a kind of database is named. Another engine would have a scratch schema.

    Raises:
        CannotBeginError: when there is no such folder, or it may not be written.
    """
    scheme, _, rest = database_url.partition(":///")
    if scheme not in {"sqlite", "sqlite+pysqlite"} or not rest or rest == ":memory:" or rest.startswith("file:"):
        raise CannotBeginError("only a database in a file can be verified beside; write sqlite:///FILE")
    try:
        database = Path(rest).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise CannotBeginError(f"{rest} cannot be reached; check the path and the links in it") from error
    if database.is_dir():
        raise CannotBeginError(f"{database} is a folder; give the path of a file in it, which need not exist")
    folder = database.parent
    if not folder.is_dir():
        raise CannotBeginError(
            f"the folder {folder} does not exist; give the one that your database is, or will be, in"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotBeginError(
            f"the folder {folder} may not be written; run this as the user that your backend runs as"
        )
    return folder


@contextmanager
def scratch_in(place: Path, say: Callable[[str], None]) -> Iterator[Scratch]:
    """A new scratch folder, removed at the end of the block; what killed runs left there is removed first."""
    remove_leftovers(place, say)
    folder, lock = _make(place)
    try:
        yield Scratch(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            say(f"{folder} could not be removed; remove it by hand")
        os.close(lock)


def remove_leftovers(place: Path, say: Callable[[str], None]) -> None:
    """Removes the folders of runs whose process is dead: the lock that each holds on its folder went with it."""
    for folder in sorted(place.glob(f"{PREFIX}*")):
        lock = _lock_if_dead(folder)
        if lock is None:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        say(f"{folder} was left over and " + ("cannot be removed" if folder.exists() else "is removed"))
        os.close(lock)


def _make(place: Path) -> tuple[Path, int]:
    """The folder and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # No locks on this file system, as the scenario of the disk will say.
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Between the two lines above, another run may have taken it for a leftover.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(folder), os.fstat(lock)):
                return folder, lock
        os.close(lock)


def _lock_if_dead(folder: Path) -> int | None:
    """A lock on a folder of ours whose run is dead; None when it lives, or is somebody else's."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    status = os.fstat(lock)
    try:
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    except OSError:
        pass  # It is held, or cannot be: then nothing is known, and nothing is removed.
    os.close(lock)
    return None
