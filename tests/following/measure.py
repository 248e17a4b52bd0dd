"""How soon a change is seen and what looking costs, by hand: `python -m tests.following.measure`. No test."""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sessionstore import ManagerClosedError, SessionManager
from tests.concurrency import manager_on, request, scene
from tests.following.workers import WATCHED, FollowingWorker
from tests.workers import say, wait_for_go

SAMPLES, SECONDS, CROWD = 400, 10.0, 100


def pace(database: Path) -> None:
    """Commits scenes at random distances, and says when each was acknowledged."""
    with manager_on(database) as manager:
        for number in range(SAMPLES):
            time.sleep(random.uniform(0.005, 0.06))
            manager.add_scene_to_session(WATCHED, scene(number % 20))
            say(time.monotonic())


def hurry(database: Path) -> None:
    """Writes other sessions as fast as it can, then says how many writes it got a second."""
    with manager_on(database, durability="normal") as manager:
        ids = [manager.create_session(request()) for _ in range(20)]
        say("ready")
        wait_for_go()
        end, count = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            manager.update_session_progress(ids[count % 20], 1, 2, str(count))
            count += 1
        say(count / SECONDS)


class MeasuringWorker(FollowingWorker):
    """A process of this module."""

    module = "tests.following.measure"


def percent_of_a_core(act: Callable[[], object]) -> float:
    began, spent = time.monotonic(), time.process_time()
    act()
    return 100 * (time.process_time() - spent) / (time.monotonic() - began)


def latencies(manager: SessionManager, database: Path, hear: Callable[[list[float]], object]) -> str:
    """Milliseconds from the acknowledgement in another process to the item here."""
    seen: list[float] = []
    hear(seen)
    with MeasuringWorker("pace", database) as writer:
        acknowledged = [float(line) for line in writer.rest()]
    deadline = time.monotonic() + 5
    while len(seen) < SAMPLES and time.monotonic() < deadline:
        time.sleep(0.01)
    delays = sorted(1000 * (there - here) for here, there in zip(acknowledged, seen, strict=True))
    return (
        f"p50 {statistics.median(delays):.1f} ms, p99 {delays[SAMPLES * 99 // 100]:.1f} ms, worst {delays[-1]:.1f} ms"
    )


def watch_into(manager: SessionManager) -> Callable[[list[float]], object]:
    def follow(seen: list[float]) -> None:
        with suppress(ManagerClosedError):
            for change in manager.watch(WATCHED):
                if change.event_type == "scene_added":
                    seen.append(time.monotonic())

    return lambda seen: threading.Thread(target=follow, args=(seen,), daemon=True).start()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "sessions.db"
        manager = manager_on(database)
        manager.create_session(request(), session_id=WATCHED)
        print("a watch sees a change after", latencies(manager, database, watch_into(manager)))

        def call(seen: list[float]) -> None:
            manager.register_session_callback(
                "scene_added", lambda *_: seen.append(time.monotonic()), every_process=True
            )

        print("a callback hears of one after", latencies(manager, database, call))
        manager.shutdown()

        manager = manager_on(database)
        idle = percent_of_a_core(lambda: time.sleep(SECONDS))
        watch = manager.watch(WATCHED)
        looking = percent_of_a_core(lambda: [watch.next_within(SECONDS), watch.next_within(SECONDS)])
        print(f"an idle store takes {idle:.2f} % of a core, with an idle watch {looking:.2f} %")
        watch.close()

        for crowd in (0, 1, CROWD):
            ids = [manager.create_session(request()) for _ in range(crowd)]
            watches = [manager.watch(session_id) for session_id in ids]
            waiting = [threading.Thread(target=lambda w=w: [w.next_within(1), w.next_within(SECONDS)]) for w in watches]
            with MeasuringWorker("hurry", database) as writer:
                writer.expect("ready")
                writer.go()
                for thread in waiting:
                    thread.start()
                cost = percent_of_a_core(lambda: time.sleep(SECONDS))
                rate = float(writer.rest()[0])
            for thread in waiting:
                thread.join()
            print(
                f"{crowd} quiet watches beside a writer: {cost:.1f} % of a core; it makes {rate:,.0f} writes a second"
            )
            for watch in watches:
                watch.close()
        manager.shutdown()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"pace": pace, "hurry": hurry}[sys.argv[1]](Path(sys.argv[2]))
    else:
        main()
