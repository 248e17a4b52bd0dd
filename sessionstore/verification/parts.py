"""What children do, by the name that they are started under."""

from collections.abc import Callable, Mapping

from sessionstore.verification import foreign, writing
from sessionstore.verification.scenarios import disk, disk_full, zombie

PARTS: Mapping[str, Callable[..., None]] = {
    "write": writing.write,
    "hold_lock": foreign.hold_lock,
    "hold_snapshot": foreign.hold_snapshot,
    "lock_file": disk.lock_file,
    "fill_up": disk_full.fill_up,
    "hang": zombie.hang,
    "rescue": zombie.rescue,
}
