"""What goes on, on one line of a terminal that is written over; silent on a pipe."""

import sys


class Progress:
    """On standard error, so that what is found can go to a file."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if self._is_shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        self.show("")
