"""Fresh processes: each begins with nothing imported and runs one task, so that no run lives on another's memory."""

import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

T = TypeVar("T")

# Forked children would share what the parent has imported and allocated.
SPAWN = get_context("spawn")


class WorkerFailedError(RuntimeError):
    """A task raised in its process, or the process died; `details` is its traceback, where there is one."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def run_fresh(task: Callable[..., T], *argument_lists: Sequence[Any]) -> list[T]:
    """Runs `task` once for each list of arguments, each in its own process, all at once; the results in order.

    Raises:
        WorkerFailedError: when one failed; the others are ended.
    """
    workers: list[tuple[SpawnProcess, Connection]] = []
    try:
        workers += [_start(task, arguments) for arguments in argument_lists]
        answers = [_answer(worker, pipe) for worker, pipe in workers]
    finally:
        for worker, pipe in workers:
            pipe.close()
            worker.kill()
            worker.join()
    failures = [answer for answer in answers if isinstance(answer, WorkerFailedError)]
    if failures:
        # Those who waited for one that failed tell of a broken barrier: the reason is with the one.
        raise min(failures, key=lambda failure: "BrokenBarrierError" in str(failure))
    return answers


def _start(task: Callable[..., T], arguments: Sequence[Any]) -> tuple[SpawnProcess, Connection]:
    from_worker, to_parent = SPAWN.Pipe(duplex=False)
    worker = SPAWN.Process(target=_serve, args=(to_parent, task, arguments), daemon=True)
    worker.start()
    # Only the worker holds the other end now: when it dies, the pipe ends.
    to_parent.close()
    return worker, from_worker


def _answer(worker: SpawnProcess, pipe: Connection) -> Any:
    """What the task returned, or the error that tells how it failed."""
    try:
        is_well, answer = pipe.recv()
    except EOFError:
        worker.join()
        return WorkerFailedError(f"a process of the benchmark died with exit code {worker.exitcode}")
    worker.join()
    return answer if is_well else WorkerFailedError(answer.strip().splitlines()[-1], answer)


def _serve(to_parent: Connection, task: Callable[..., T], arguments: Sequence[Any]) -> None:
    # Ctrl-C reaches the whole group; the parent tells about it, once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        answer: tuple[bool, Any] = (True, task(*arguments))
    except BaseException:  # noqa: BLE001 - told to the parent, whatever it is
        answer = (False, traceback.format_exc())
    to_parent.send(answer)
