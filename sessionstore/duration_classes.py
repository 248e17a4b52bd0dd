"""The classes that report `distribution` counts durations in: about equally wide on a logarithmic axis."""

from collections.abc import Iterator

# Upper ends, in milliseconds, within each power of ten.
ENDS = (1, 1.5, 2, 3, 5, 7)


def ends_reaching(longest: int) -> Iterator[int]:
    """The upper ends of all classes, until one holds `longest`. Zero is a class of its own."""
    yield 0
    end, power = 0, 1
    while end < longest:
        for each in ENDS:
            if end < longest and (whole := int(each * power)) > end:
                end = whole
                yield end
        power *= 10


def class_ends(first: int, last: int) -> list[int]:
    """The upper ends of all classes from one to another; a class reaches down to the end before it."""
    return [end for end in ends_reaching(last) if first <= end <= last]


def lower_end(end: int) -> int:
    """What lies in a class is longer than this."""
    return max((each for each in ends_reaching(end) if each < end), default=0)
