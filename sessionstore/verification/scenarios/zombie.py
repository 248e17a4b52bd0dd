"""Workers that are paused for longer than their lease lasts, replaced, and wake up again."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from sessionstore import GenerationRun
from sessionstore.errors import LeaseLostError, SessionLockError
from sessionstore.manager import SessionManager
from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.settings import Settings
from sessionstore.verification.children import PATIENCE_SECONDS, Child, SilentChildError
from sessionstore.verification.ground import Ground, errors_in
from sessionstore.verification.reports import Reporter, described
from sessionstore.verification.verdicts import NotTriedError, Trial

PROMISE = (
    "Each session is claimed by exactly one worker at a time, no scene is saved twice, and a worker that wakes up "
    "after another one took over has every write refused and changes nothing."
)

DATABASE = "zombie"
LEASE_SECONDS = 1.0
RECOVERY_SECONDS = 0.2
ZOMBIES = 3
RESCUERS = 2
RESCUER_THREADS = 2
# Beside those of the zombies; for the rescuers to race for.
OTHER_SESSIONS = 12
SCENES = 3
PAUSES = 20
LOOK_SECONDS = 0.02
LONG_LEASE_SECONDS = 60.0


class _Found:
    """What is counted over all rounds."""

    def __init__(self) -> None:
        self.zombies = self.refused = 0
        self.claims: list[tuple[str, int]] = []
        self.worst_takeover_ms = 0.0


def try_it(ground: Ground, trial: Trial) -> None:
    """Rounds of some seconds each, for as long as there is time for another one; one in any case."""
    found = _Found()
    # A paused worker that is in the middle of a write holds everybody up: then it is not waited for.
    with ground.opened(DATABASE, lock_timeout=1.0) as manager:
        while True:
            begun = time.monotonic()
            _round(ground, trial, found, manager)
            trial.extent = f"{found.zombies} zombies, {len(found.claims)} claims"
            ground.say(trial.extent)
            if 2 * time.monotonic() - begun > ground.end:
                break
        trial.fail(*(f"check: {finding.check}: {finding.message}" for finding in errors_in(manager)))
    twice = {claim for claim in found.claims if found.claims.count(claim) > 1}
    trial.fail(*(f"session {session_id} was claimed twice as attempt {attempt}" for session_id, attempt in twice))
    trial.figures |= {"claims": len(found.claims), "refused_writes": found.refused}
    trial.figures["worst_takeover_ms"] = found.worst_takeover_ms


def _round(ground: Ground, trial: Trial, found: _Found, manager: SessionManager) -> None:
    settings = ground.options(DATABASE, recovery_interval=RECOVERY_SECONDS)
    sessions = [_create(manager) for _ in range(ZOMBIES)]
    zombies = [ground.children.start("hang", settings=settings) for _ in sessions]
    found.claims += [(claim[0], claim[1]) for claim in (zombie.wait_for("claimed") for zombie in zombies)]
    sessions += _pause(manager, zombies)
    paused = time.monotonic()
    rescuers = [ground.children.start("rescue", settings=settings, threads=RESCUER_THREADS) for _ in range(RESCUERS)]
    _wait_for_rescue(manager, sessions)
    found.worst_takeover_ms = max(found.worst_takeover_ms, (time.monotonic() - paused) * 1000)
    before = {session_id: _standing(manager, session_id) for session_id in sessions}

    for zombie in zombies:
        zombie.send(signal.SIGCONT)
        zombie.send(signal.SIGUSR1)
    for rescuer in rescuers:
        rescuer.send(signal.SIGTERM)
    for child in (*zombies, *rescuers):
        child.wait_for("ended")
    found.claims += [(claim[0], claim[1]) for rescuer in rescuers for claim in rescuer.all("claimed")]
    found.zombies += len(zombies)
    found.refused += sum(len(zombie.all("refused")) for zombie in zombies)
    _judge_zombies(trial, zombies)
    for child in (*zombies, *rescuers):
        trial.fail(*(f"process {child.name}: {error}" for (error,) in child.all("failed")))
    changed = [session_id for session_id in sessions if _standing(manager, session_id) != before[session_id]]
    trial.fail(*(f"session {session_id} is not what it was before the zombie woke up" for session_id in changed))
    _judge_scenes(trial, manager, sessions, [*zombies, *rescuers])


def _create(manager: SessionManager) -> str:
    return manager.create_session({"story_text": "A worker falls asleep.", "num_scenes": SCENES})


def _pause(manager: SessionManager, zombies: list[Child]) -> list[str]:
    """Stops them, but not in the middle of a write; the sessions that could be created beside them meanwhile."""
    for number in range(1, PAUSES + 1):
        for zombie in zombies:
            zombie.send(signal.SIGSTOP)
        for zombie in zombies:
            zombie.wait_for("stopped", number)
        try:
            return [_create(manager) for _ in range(OTHER_SESSIONS)]
        except SessionLockError:
            for zombie in zombies:
                zombie.send(signal.SIGCONT)
            time.sleep(LOOK_SECONDS)
    raise NotTriedError("the workers could not be paused but in the middle of a write")


def _wait_for_rescue(manager: SessionManager, sessions: list[str]) -> None:
    left, end = set(sessions), time.monotonic() + PATIENCE_SECONDS
    while left := {session_id for session_id in left if _status(manager, session_id) != GenerationStatus.COMPLETED}:
        if time.monotonic() > end:
            raise SilentChildError(f"{len(left)} sessions of paused workers were not taken over and completed in time")
        time.sleep(LOOK_SECONDS)


def _status(manager: SessionManager, session_id: str) -> GenerationStatus | None:
    session = manager.get_session(session_id)
    return None if session is None else session.status


def _standing(manager: SessionManager, session_id: str) -> dict[str, Any] | None:
    """All of a session but when it was last looked at."""
    session = manager.get_session(session_id)
    return None if session is None else session.model_dump(exclude={"last_accessed"})


def _judge_zombies(trial: Trial, zombies: list[Child]) -> None:
    for zombie in zombies:
        for (verb,) in zombie.all("wrote"):
            trial.fail(f"{verb} of {zombie.name} went through, though its session was another worker's")
        refused = {verb for (verb,) in zombie.all("refused")}
        answered = refused | {verb for (verb,) in zombie.all("wrote")}
        if missing := set(VERBS) - answered:
            trial.fail(f"{zombie.name} was not refused {', '.join(sorted(missing))}")


def _judge_scenes(trial: Trial, manager: SessionManager, sessions: list[str], workers: list[Child]) -> None:
    """Each number once, and by the worker that said so."""
    said = {(session_id, number): worker.name for worker in workers for session_id, number in worker.all("scene")}
    for session_id in sessions:
        session = manager.get_session(session_id)
        numbers = [] if session is None else [scene.scene_number for scene in session.scenes]
        if session is None or sorted(numbers) != list(range(1, SCENES + 1)):
            trial.fail(f"session {session_id} has scenes {numbers}, instead of 1 to {SCENES}")
        elif wrong := [number for number in numbers if _writer(session, number) != said.get((session_id, number))]:
            trial.fail(f"scenes {wrong} of session {session_id} are not by the worker that saved them")


def _writer(session: GenerationSession, number: int) -> str | None:
    scene = session.get_scene_by_number(number)
    return None if scene is None else scene.title


# In the children

VERBS: dict[str, Callable[[GenerationRun[Any, Any]], object]] = {
    "add_scene": lambda run: run.add_scene(_scene(2, "a zombie")),
    "update_progress": lambda run: run.update_progress(1, 2, "a zombie"),
    "update_status": lambda run: run.update_status(GenerationStatus.DOWNLOADING),
    "heartbeat": lambda run: run.heartbeat(),
    "complete": lambda run: run.complete(),
    "fail": lambda run: run.fail("a zombie"),
    "release": lambda run: run.release(),
}


def hang(report: Reporter, *, settings: dict[str, Any]) -> None:
    """Claims a session, saves a scene, sleeps until SIGUSR1, and then tries every write there is."""
    # Before the manager has threads, which would have it delivered to them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    with SessionManager(settings=Settings(**settings)) as manager:
        run = manager.claim_next_session(report.name, lease_seconds=LEASE_SECONDS)
        if run is None:
            report("failed", "there was nothing to claim")
            return
        _add_scene(report, run, 1)
        report("claimed", run.session_id, run.attempt)
        signal.sigwait({signal.SIGUSR1})
        for verb, write in VERBS.items():
            try:
                write(run)
                report("wrote", verb)
            except LeaseLostError:
                report("refused", verb)
            except Exception as error:  # noqa: BLE001 - any other one is not the answer that was promised
                report("failed", f"{verb}: {described(error)}")


def rescue(report: Reporter, *, settings: dict[str, Any], threads: int) -> None:
    """Claims and completes whatever there is, until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def work() -> None:
        while not stop.is_set():
            run = manager.claim_next_session(report.name, lease_seconds=LONG_LEASE_SECONDS)
            if run is None:
                stop.wait(LOOK_SECONDS)
                continue
            report("claimed", run.session_id, run.attempt)
            for number in run.pending_scene_numbers():
                _add_scene(report, run, number)
            run.complete()

    def work_or_tell() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - for the process that counts to hear of
            report("failed", described(error))

    with SessionManager(settings=Settings(**settings)) as manager:
        pool = [threading.Thread(target=work_or_tell) for _ in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()


def _add_scene(report: Reporter, run: GenerationRun[Any, Any], number: int) -> None:
    run.add_scene(_scene(number, report.name))
    report("scene", run.session_id, number)


def _scene(number: int, worker: str) -> dict[str, Any]:
    return {"scene_number": number, "title": worker, "description": "It snores.", "image_prompt": "a bed"}
