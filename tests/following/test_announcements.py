"""What is told of an end, to callbacks of one process and of every process alike."""

from sessionstore import GenerationStatus
from sessionstore.events import DEPARTURE_ANNOUNCED_AS, FINISH_ANNOUNCED_AS
from sessionstore.models import TombstoneReason


def test_each_way_to_finish_and_each_way_to_go_is_announced_as_something() -> None:
    assert set(FINISH_ANNOUNCED_AS) == {status for status in GenerationStatus if status.is_terminal()}
    assert set(DEPARTURE_ANNOUNCED_AS) == set(TombstoneReason)
