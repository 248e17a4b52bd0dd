"""The counters among the metrics, held against random histories: they only grow, and everybody sees the same."""

import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from sessionstore import CallHeldError, Cost, GenerationStatus, MediaType, SessionManager
from sessionstore.metrics import COUNTERS
from sessionstore.operations import interrupted
from sessionstore.testing import ManualClock, wait_for_cleanup
from sessionstore.testing.contract.group import a_request, a_scene
from sessionstore.testing.contract.studio import Studio, raising
from sessionstore.testing.contract.tracking import die
from tests.conftest import OpenManager
from tests.test_metrics import Samples, registry_with, scrape


class History:
    """Random things that happen to a store of two managers, over days that pass between them."""

    def __init__(self, open_manager: OpenManager, clock: ManualClock, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = clock
        self.studio = Studio()
        self._open: Callable[[], SessionManager] = partial(
            open_manager,
            durability="normal",
            max_sessions=12,
            event_retention_days=1,
            tombstone_retention_days=1,
            recovery_interval=None,
            cleanup_interval=3600,
        )
        self.managers = [self._open(), self._open()]
        self.things: list[Callable[[SessionManager], object]] = [
            *[self.create] * 4,
            *[self.change_status] * 4,
            *[self.work] * 4,
            lambda manager: manager.add_scene_to_session(self.any_id(), a_scene(self.chance.randint(1, 3))),
            lambda manager: manager.set_session_scenes(self.any_id(), [a_scene(1), a_scene(2)]),
            lambda manager: manager.retry_session(self.any_id()),
            lambda manager: manager.remove_session(self.any_id()),
            self.crash,
            lambda manager: manager.cleanup_failed_sessions(),
            lambda manager: manager.force_cleanup_all(),
            *[self.clean_up] * 2,
            lambda manager: self.restart(),
        ]

    def go_on(self) -> None:
        # Back too: a clock may be set.
        self.clock.advance(seconds=self.chance.choice([0.25, 3, 3, 600, 90_000, -5]))
        self.chance.choice(self.things)(self.chance.choice(self.managers))

    def any_id(self) -> str:
        return f"s{self.chance.randrange(8)}"

    def create(self, manager: SessionManager) -> None:
        session_id = self.any_id()
        if manager.get_session(session_id) is None:
            manager.create_session(a_request(media_type=self.chance.choice(list(MediaType))), session_id=session_id)

    def change_status(self, manager: SessionManager) -> None:
        manager.update_session_status(self.any_id(), self.chance.choice(list(GenerationStatus)))

    def work(self, manager: SessionManager) -> None:
        """A worker that completes, fails, is in doubt about what it bought, or stops in the middle."""
        run = manager.claim_next_session("w")
        if run is None:
            return
        end = self.chance.choice(["complete", "fail", "release", "hold"])
        self.studio.on_submit = raising(TimeoutError()) if end == "hold" else lambda: None
        bill = Cost(self.chance.randrange(90_000), self.chance.choice(["USD", "EUR"]))
        provider = self.studio.provider(cost=lambda _, result: bill if result else Cost(50_000, "USD"))
        with suppress(CallHeldError):
            run.call(provider, 1, {})
            if end != "release":
                run.add_scene(a_scene(1))
            {"complete": run.complete, "release": run.release}.get(end, partial(run.fail, "boom"))()

    def crash(self, manager: SessionManager) -> None:
        """A worker that is not heard of any more."""
        if manager.get_sessions_by_status("pending"):
            die(manager)
            self.clock.advance(minutes=2)
            manager.recover_interrupted_sessions()

    def clean_up(self, manager: SessionManager) -> None:
        """Sums events up, and removes, prunes and abandons what is old."""
        assert wait_for_cleanup(manager)

    def restart(self) -> None:
        assert self.managers.pop(0).shutdown()
        self.managers.append(self._open())


def counters(samples: Samples) -> Samples:
    return {key: each for key, each in samples.items() if key[0].endswith(("_total", "_sum", "_count"))}


@pytest.mark.parametrize("seed", [1, 2])
def test_counters_never_fall_and_are_the_same_for_everybody_whatever_happens(
    open_manager: OpenManager, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
    history, observer = History(open_manager, clock, seed), registry_with(open_manager(cleanup_interval=None))
    before: Samples = {}
    for step in range(200):
        history.go_on()
        if step % 4:  # Not after each, so that much may happen between two scrapes.
            continue
        seen, fresh = (counters(scrape(each)) for each in (observer, registry_with(history.managers[-1])))
        assert seen == fresh
        assert {key: (each, seen.get(key)) for key, each in before.items() if seen.get(key, -1) < each} == {}
        before = seen
    # Of every kind something happened, or this would say little.
    happened = {name.removesuffix("_sum").removesuffix("_count") for (name, _), each in before.items() if each}
    assert happened == set(COUNTERS)
