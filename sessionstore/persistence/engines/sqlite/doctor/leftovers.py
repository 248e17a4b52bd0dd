"""What copies that were interrupted left behind: files that nobody will finish."""

import stat
import time
from collections.abc import Iterator
from pathlib import Path

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.file import APPLICATION_ID
from sessionstore.persistence.engines.sqlite.publishing import BESIDE, PARTIAL
from sessionstore.processes import is_running

# A copy that goes on writes all the time. So long after its last write it is nobody's, also where the number of its
# process means another one, as in another container.
ABANDONED_SECONDS = 3600
# In the header of an SQLite file.
_APPLICATION_ID_BYTES = slice(68, 72)


def leftovers(folder: Path) -> Iterator[Finding]:
    found = abandoned(folder)
    if not found:
        yield Finding(check="leftovers", severity="ok", message="no interrupted copy lies beside the database")
        return
    total = sum(each.stat().st_size for each in found)
    yield Finding(
        check="leftovers",
        severity="warning",
        message=f"{len(found)} files of interrupted copies ({total:,} bytes): {', '.join(each.name for each in found)}",
        remedy="remove them, or `sessionstore check --repair`",
    )


def abandoned(folder: Path) -> list[Path]:
    """Unfinished copies in the folder whose process is gone, with what SQLite left beside them."""
    partials = {each: int(name[1]) for each in folder.iterdir() if (name := PARTIAL.fullmatch(each.name))}
    found = [each for each, pid in partials.items() if _is_abandoned(each, pid)]
    beside = [Path(f"{each}{ending}") for each in found for ending in BESIDE]
    return sorted([*found, *(each for each in beside if each.exists())])


def _is_abandoned(path: Path, pid: int) -> bool:
    # Of a program with the same manner of naming, nothing is touched. The file is nobody's: it may be opened.
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < ABANDONED_SECONDS or is_running(pid):
            return False
        with path.open("rb") as file:
            header = file.read(_APPLICATION_ID_BYTES.stop)
    except OSError:
        return False  # Another user's, or removed since.
    return not header or header[_APPLICATION_ID_BYTES] == APPLICATION_ID.to_bytes(4)
