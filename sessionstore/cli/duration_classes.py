"""The classes of report `distribution`: which there are, also those in which nothing lies."""

# Upper ends, in milliseconds, within each power of ten; as the report counts them.
ENDS = (1, 1.5, 2, 3, 5, 7)


def class_ends(first: int, last: int) -> list[int]:
    """The upper ends of all classes from one to another; a class reaches down to the end before it."""
    ends = {0}
    power = 1
    while power <= max(1, last):
        ends |= {int(end * power) for end in ENDS}
        power *= 10
    return [end for end in sorted(ends) if first <= end <= last]


def lower_end(end: int) -> int:
    """What lies in a class is longer than this."""
    return max((each for each in class_ends(0, end) if each < end), default=0)
