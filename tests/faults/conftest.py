"""What the fault tests share: the provider, and how long they go on."""

from collections.abc import Iterator

import pytest

from tests.faults.service import Service, provider_process


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether this is the long run, asked for with `--long`."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """One provider for all of them: what was bought is told by the sessions' ids."""
    with provider_process() as service:
        yield service
