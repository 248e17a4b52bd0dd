"""Whether an age can be believed. After the clock jumped ahead, everything looks old, and must not be deleted for it.

What is `hours` old has seen that many hours go by. So an age is believed once the machine itself has run for so long
since the last jump: by then everything from before the jump is that old indeed. A clock that was wrong and is put right
costs a delay of the cleanup, nothing else, and nothing has to know which of the two it was.
"""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

# A clock that is only corrected, or runs a little fast, is off by less.
TOLERANCE = timedelta(minutes=1)
# A store opened so long after its last event lay still, or the clock has jumped meanwhile.
LONGEST_SILENCE = timedelta(days=30)
SECONDS_PER_HOUR = 3600

Uptime = Callable[[], float]

# Goes on while the machine is asleep, where the system has such a clock; an age does so too.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def system_uptime() -> float:
    """Seconds that nobody can set."""
    return time.clock_gettime(_BOOT_TIME)


class ClockJumps:
    """Compares the clock of one store with the machine's uptime. For the thread whose turn it is to write."""

    def __init__(self, now: datetime, last_event_at: datetime | None, uptime: Uptime | None) -> None:
        """`last_event_at`: when the store was written last, as far as its history tells.

        `uptime` is None for a clock that was injected: it is believed, whatever it says.
        """
        self._uptime = uptime
        self._jumped_at = -math.inf
        if uptime is None:
            return
        self._seen = now, uptime()
        if last_event_at is not None and now - last_event_at > LONGEST_SILENCE:
            self._note_jump(now - last_event_at, self._seen[1], "since anything was written")

    def can_be_believed(self, now: datetime, hours: float) -> bool:
        """Whether something that is so old by the clock, at `now`, has existed for so long."""
        if self._uptime is None:
            return True
        uptime = self._uptime()
        (seen, seen_uptime), self._seen = self._seen, (now, uptime)
        ahead = now - seen - timedelta(seconds=uptime - seen_uptime)
        if ahead > TOLERANCE:
            self._note_jump(ahead, uptime, "more than went by")
        return uptime - self._jumped_at >= hours * SECONDS_PER_HOUR

    def _note_jump(self, ahead: timedelta, uptime: float, what: str) -> None:
        self._jumped_at = uptime
        logger.warning(
            "the clock says that %s went by %s; nothing expires until the machine has run for as long as it is kept. "
            "Look whether the clock is right",
            ahead,
            what,
        )
