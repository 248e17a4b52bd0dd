"""How many work at once: "8t" is 8 threads of one process, "4p" 4 processes with one thread each."""

import re
from dataclasses import dataclass
from typing import Self

# Beyond that a laptop measures its scheduler.
MOST_WORKERS = 256


@dataclass(frozen=True, slots=True)
class Workers:
    """So many processes with so many threads each, all on one file."""

    processes: int
    threads: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "8t" or "4p".

        Raises:
            ValueError: for anything else.
        """
        match = re.fullmatch(r"([1-9]\d{0,3})([tp])", text)
        if match is None or int(match[1]) > MOST_WORKERS:
            raise ValueError(f"workers are like 1t, 8t (threads) or 4p (processes), up to {MOST_WORKERS}; not {text!r}")
        number = int(match[1])
        return cls(1, number) if match[2] == "t" else cls(number, 1)

    def __str__(self) -> str:
        return f"{self.processes}p" if self.processes > 1 else f"{self.threads}t"


def in_words(workers: str) -> str:
    """ "8t" as "8 threads"."""
    number, kind = int(workers[:-1]), {"t": "thread", "p": "process"}[workers[-1]]
    if number == 1:
        return f"1 {kind}"
    return f"{number} {kind}{'es' if kind == 'process' else 's'}"
