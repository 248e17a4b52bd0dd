"""The provider that all of these tests buy from."""

from collections.abc import Iterator

import pytest

from tests.faults.killed_workers.service import Service, provider_process


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """One for all of them: what was bought is told by the sessions' ids."""
    with provider_process() as service:
        yield service
