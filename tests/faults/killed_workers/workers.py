"""A worker that may die anywhere: `python -m tests.faults.killed_workers.workers NAME DATABASE PORT OPTIONS`.

It claims sessions and has their scenes made until its standard input says `stop`; when that ends, it ends at once.
It reports each session that it claimed, each scene that was acknowledged to it, and each call that was held.
"""

import json
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from sessionstore import STILL_RUNNING, CallHeldError, Cost, GenerationRun, Provider
from tests.concurrency import manager_on, scene
from tests.faults.killed_workers.points import Point, Points, watch
from tests.faults.killed_workers.service import Service
from tests.workers import say

PRICE = Cost(40_000, "USD")
POLL_SECONDS = 0.01
IDLE_SECONDS = 0.05


def provider_of(kind: str, service: Service, points: Points) -> Provider:
    """`plain`, or `repeatable` under a key; its functions come by the points of a call."""

    def submit(request: Any, key: str | None = None) -> str:
        points.reach(Point.INTENDED)

        def when_sent() -> None:
            # Answered after the request, for the provider takes one after the other: it has accepted that by now.
            service.purchases()
            points.reach(Point.ACCEPTED)

        half_sent = partial(points.reach, Point.HALF_SENT)
        job_id = service.submit(request, key, when_half_sent=half_sent, when_sent=when_sent)
        points.reach(Point.SUBMIT_ANSWERED)
        return job_id

    def fetch(job_id: str) -> Any:
        result = service.fetch(job_id)
        points.reach(Point.STILL_RUNNING if result is None else Point.FETCH_ANSWERED)
        return STILL_RUNNING if result is None else result

    return Provider(
        name=kind,
        submit=submit,
        fetch=fetch,
        is_repeatable=kind == "repeatable",
        cost=lambda request, result: PRICE,
        poll_seconds=POLL_SECONDS,
    )


def call_naively(provider: Provider, request: dict[str, Any]) -> Any:
    """What is written without a ledger."""
    job_id = provider.submit(request)
    while (result := provider.fetch(job_id)) is STILL_RUNNING:
        time.sleep(POLL_SECONDS)
    return result


def generate(run: GenerationRun[Any, Any], provider: Provider, points: Points) -> None:
    """Makes what is missing of a session, reporting each scene as soon as it is acknowledged."""
    for number in run.pending_scene_numbers():
        points.begin(run.session, number)
        request = {"session_id": run.session_id, "scene_number": number, "prompt": f"a fox, scene {number}"}
        points.reach(Point.BEFORE_INTENTION)
        is_naive = provider.name == "naive"
        image = call_naively(provider, request) if is_naive else run.call(provider, number, request)
        points.reach(Point.BEFORE_SCENE)
        with points.step(Point.SCENE_WRITTEN):
            run.add_scene(scene(number).model_copy(update={"image_url": image["url"]}))
        say(f"saved {run.session_id} {number}")
        points.reach(Point.SCENE_SAVED)
        with points.step(Point.PROGRESS_WRITTEN):
            run.update_progress(number, run.session.request_data.num_scenes, f"saved scene {number}")
        points.reach(Point.PROGRESS_SAVED)
    points.begin(run.session)
    points.reach(Point.BEFORE_COMPLETION)
    with points.step(Point.COMPLETION_WRITTEN):
        run.complete()
    points.reach(Point.COMPLETED)


def work(name: str, database: Path, service: Service, points: Points, stop: threading.Event, **options: Any) -> None:
    """Claims and generates until it is told to stop."""
    with manager_on(database, recovery_interval=0.1, lock_timeout=30, **options) as manager:
        watch(manager, points)
        while not stop.is_set():
            run = manager.claim_next_session(name, lease_seconds=60)
            if run is None:
                stop.wait(IDLE_SECONDS)
                continue
            say(f"claimed {run.session_id} {run.attempt}")
            points.reach(Point.CLAIMED)
            try:
                with run:
                    generate(run, provider_of(run.session.metadata["kind"], service, points), points)
            except CallHeldError as error:
                say(f"held {error.session_id} {error.scene_number}")


def _await_stop(stop: threading.Event) -> None:
    """An end of the input without it is the end of whoever started this worker."""
    while told := os.read(0, 1024):
        if b"stop" in told:
            stop.set()
    if not stop.is_set():
        os._exit(1)


if __name__ == "__main__":
    _, own_name, path, port, given = sys.argv
    options = json.loads(given)
    stopping = threading.Event()
    threading.Thread(target=_await_stop, args=(stopping,), daemon=True).start()
    passed = Points(Path(options.pop("deaths")), options.pop("longest_pause_seconds"))
    work(own_name, Path(path), Service(int(port)), passed, stopping, **options)
