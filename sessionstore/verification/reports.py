"""How a child reports to the process that counts: one line of JSON for each thing, in one piece."""

import json
import os
from select import PIPE_BUF

STANDARD_OUTPUT = 1
# Of a line of at most PIPE_BUF bytes the pipe takes all or nothing, also when its writer is killed.
MAX_TEXT = PIPE_BUF // 2


def write_report(name: str, kind: str, *facts: object) -> None:
    """Returns once the report is in the pipe. Raises BrokenPipeError when nobody reads any more."""
    os.write(STANDARD_OUTPUT, f"{json.dumps([name, kind, *facts])}\n".encode())


class Reporter:
    """Writes reports in the name of one child; any of its threads may."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, kind: str, *facts: object) -> None:
        """As `write_report`, but ends the process when nobody reads any more."""
        try:
            write_report(self.name, kind, *facts)
        except BrokenPipeError:
            os._exit(1)


def described(error: BaseException) -> str:
    """An error on one line, short enough for a report."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text.encode("ascii", "replace").decode()[:MAX_TEXT]
