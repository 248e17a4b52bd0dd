"""The provider as its customers see it: the calls of a worker, and the dashboard of a person."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, NamedTuple

from tests.workers import PATIENCE_SECONDS, ROOT

RUNNING_ASKS = 2


class Job(NamedTuple):
    """One purchase."""

    job_id: str
    session_id: str
    scene_number: int
    key: str | None


class Service:
    """The provider at a port. Each call is a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def submit(
        self,
        request: dict[str, Any],
        key: str | None = None,
        *,
        when_half_sent: Callable[[], object] = lambda: None,
        when_sent: Callable[[], object] = lambda: None,
    ) -> str:
        """Buys a job; the two hooks are called in the middle of it."""
        body = json.dumps({"request": request, "key": key}).encode()
        with closing(self._connection()) as connection:
            connection.putrequest("POST", "/jobs")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[: len(body) // 2])
            when_half_sent()
            connection.send(body[len(body) // 2 :])
            when_sent()
            response = connection.getresponse()
            assert response.status == HTTPStatus.CREATED
            return str(json.load(response)["job_id"])

    def fetch(self, job_id: str) -> dict[str, Any] | None:
        """The result; None while the job is running."""
        status, value = self._get(f"/jobs/{job_id}")
        assert status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, f"the provider knows no {job_id}"
        return value if status == HTTPStatus.OK else None

    def purchases(self) -> list[Job]:
        """Everything that was ever bought, by whatever worker."""
        return [Job(**each) for each in self._get("/jobs")[1]]

    def look_up(self, session_id: str, scene_number: int) -> list[Job]:
        """What was bought for a scene."""
        return [job for job in self.purchases() if job[1:3] == (session_id, scene_number)]

    def count_by_scene(self, session_ids: set[str]) -> Counter[tuple[str, int]]:
        """How often each scene of these sessions was bought."""
        return Counter((job.session_id, job.scene_number) for job in self.purchases() if job.session_id in session_ids)

    def _get(self, path: str) -> tuple[int, Any]:
        with closing(self._connection()) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.load(response)

    def _connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)


@contextmanager
def provider_process() -> Iterator[Service]:
    """A provider that has sold nothing yet, until the end of the block."""
    command = [sys.executable, "-m", "tests.faults.killed_workers.provider", str(RUNNING_ASKS)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Service(int(process.stdout.readline()))
        finally:
            process.kill()
