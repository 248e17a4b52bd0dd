"""A provider for the demo that makes no image and takes no money, but is called as one that does."""

import time
from typing import Any

from sessionstore.providers import STILL_RUNNING, Cost, Provider

POLL_SECONDS = 0.05


def pretend_provider(scene_seconds: float) -> Provider:
    """Its jobs take `scene_seconds`. The key of a request is its job's id, so a repeated one is the same job."""
    begun: dict[str, float] = {}

    def submit(request: Any, key: str) -> str:
        # This is where a real backend calls its provider.
        begun[key] = time.monotonic()
        return f"job-{key}"

    def fetch(job_id: str) -> Any:
        # Of a job that another process submitted, the time starts anew.
        started = begun.setdefault(job_id.removeprefix("job-"), time.monotonic())
        if time.monotonic() - started < scene_seconds:
            return STILL_RUNNING
        return {"url": f"https://images.example/{job_id}.png"}

    return Provider(
        name="pretend-images",
        submit=submit,
        fetch=fetch,
        is_repeatable=True,
        cost=lambda request, result: Cost(0, "USD"),
        poll_seconds=min(POLL_SECONDS, scene_seconds),
    )
