"""The provider that counts can be believed."""

import subprocess
import sys

import pytest

from tests.faults.killed_workers.service import RUNNING_ASKS, Service
from tests.workers import PATIENCE_SECONDS, ROOT

REQUEST = {"session_id": "counted", "scene_number": 1}


class CutOffError(Exception):
    """Stands for whatever ends a worker in the middle of a request."""


def test_each_request_is_a_purchase_but_for_one_whose_key_was_there_before(service: Service) -> None:
    first, second = service.submit(REQUEST), service.submit(REQUEST)
    keyed, again = service.submit(REQUEST, "key"), service.submit(REQUEST, "key")
    assert len({first, second, keyed}) == 3
    assert again == keyed
    assert [job.job_id for job in service.look_up("counted", 1)] == [first, second, keyed]
    assert service.count_by_scene({"counted"}) == {("counted", 1): 3}


def test_a_job_is_running_for_the_first_asks(service: Service) -> None:
    job_id = service.submit({"session_id": "asked", "scene_number": 1})
    assert [service.fetch(job_id) for _ in range(RUNNING_ASKS)] == [None] * RUNNING_ASKS
    result = service.fetch(job_id)
    assert result is not None
    assert result["url"] == f"https://images.example/{job_id}.png"


def test_a_request_that_is_cut_off_buys_nothing_and_one_whose_answer_is_not_read_does(service: Service) -> None:
    def cut_off() -> None:
        raise CutOffError

    with pytest.raises(CutOffError):
        service.submit({"session_id": "cut off", "scene_number": 1}, when_half_sent=cut_off)
    with pytest.raises(CutOffError):
        service.submit({"session_id": "cut off", "scene_number": 2}, when_sent=cut_off)
    assert service.count_by_scene({"cut off"}) == {("cut off", 2): 1}


def test_the_provider_ends_with_whoever_started_it() -> None:
    command = [sys.executable, "-m", "tests.faults.killed_workers.provider", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0
