"""A paid provider in a process of its own, which counts: `python -m tests.faults.killed_workers.provider RUNNING_ASKS`.

Prints its port, keeps everything in memory, and stops when its standard input ends: with whoever started it.

    POST /jobs               submits `{"request": {"session_id", "scene_number", ...}, "key": null or text}`
    GET  /jobs/ID            fetches: 202 while it is running, which it is for the first RUNNING_ASKS asks
    GET  /jobs               the dashboard: every job that was ever accepted, each of them paid

One thread answers, first come first served. So whoever looks at the dashboard after a worker has died sees all that the
worker can have bought: a request of a dead one that is still on its way was there before.
"""

import json
import os
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

# A request whose sender neither goes on nor goes away must not stop everybody else for ever.
READ_TIMEOUT_SECONDS = 10


class Jobs:
    """What was accepted. The same key gives the same job again and is charged once."""

    def __init__(self, running_asks: int) -> None:
        self._running_asks = running_asks
        self._jobs: dict[str, dict[str, Any]] = {}
        self._by_key: dict[str, str] = {}
        self._asks: dict[str, int] = {}

    def submit(self, request: dict[str, Any], key: str | None) -> str:
        if key is not None and key in self._by_key:
            return self._by_key[key]
        job_id = f"job-{len(self._jobs) + 1}"
        about = {"session_id": request["session_id"], "scene_number": request["scene_number"]}
        self._jobs[job_id] = {"job_id": job_id, "key": key, **about}
        if key is not None:
            self._by_key[key] = job_id
        return job_id

    def fetch(self, job_id: str) -> dict[str, Any] | None:
        """The result; None while the job is running."""
        self._asks[job_id] = self._asks.get(job_id, 0) + 1
        if self._asks[job_id] <= self._running_asks:
            return None
        return {"url": f"https://images.example/{job_id}.png", "job": self._jobs[job_id]}

    def knows(self, job_id: str) -> bool:
        return job_id in self._jobs

    def listed(self) -> list[dict[str, Any]]:
        return list(self._jobs.values())


class Server(socketserver.TCPServer):
    """On loopback, on a free port. Not http.server's own, which asks the name service for the machine's name."""

    # More than there are workers: a request that is refused at the door would be no kill between two steps.
    request_queue_size = 64

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server: Server
    timeout = READ_TIMEOUT_SECONDS

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        # Who died in the middle of a request has ordered nothing.
        if len(body) == length:
            order = json.loads(body)
            self._answer(HTTPStatus.CREATED, {"job_id": self.server.jobs.submit(order["request"], order["key"])})

    def do_GET(self) -> None:
        job_id = self.path.removeprefix("/jobs").removeprefix("/")
        if not job_id:
            self._answer(HTTPStatus.OK, self.server.jobs.listed())
        elif not self.server.jobs.knows(job_id):
            self._answer(HTTPStatus.NOT_FOUND, None)
        else:
            result = self.server.jobs.fetch(job_id)
            self._answer(HTTPStatus.ACCEPTED if result is None else HTTPStatus.OK, result)

    def log_message(self, *values: object) -> None:
        pass

    def _answer(self, status: HTTPStatus, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Server(Jobs(int(sys.argv[1]))) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
