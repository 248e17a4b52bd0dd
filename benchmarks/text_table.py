"""Rows of text as columns that line up."""

from collections.abc import Sequence

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """The first `left` columns begin at the same place, the others end there. Lines are as long as they are."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(GAP.join(cells).rstrip())
    return "\n".join(lines)
