"""Figures as people say them: durations, amounts, shares."""

# Each with the unit that its rest is given in.
_LONG_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
MICROS = 1_000_000


def duration(milliseconds: float) -> str:
    """Two units at most: 454 ms, 1.2 s, 3 min 4 s, 2 h, 3 d 4 h."""
    if round(milliseconds) < 1000:
        return f"{milliseconds:.0f} ms"
    if round(milliseconds, -2) < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    size, unit, smaller, rest_unit = next(each for each in _LONG_UNITS if seconds >= each[0])
    # What is left over is rounded too: 1 h 59 min 58 s are 2 h.
    whole, rest = divmod(round(seconds / smaller), size // smaller)
    return f"{whole} {unit} {rest} {rest_unit}" if rest else f"{whole} {unit}"


def amount(micros: int) -> str:
    """Of money, in whole units: two decimals, and as many more as it takes to hide nothing."""
    whole, rest = divmod(micros, MICROS)
    decimals = f"{rest:06}"
    return f"{whole:,}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def share(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"
