"""A process that may open no more files: told so, and well again when it may."""

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError
from tests.concurrency import manager_on, request
from tests.faults.disk.state import descriptors_in

WORDS = "too many files are open.*ulimit -n"


@contextmanager
def only_files_left(count: int) -> Iterator[None]:
    """This process may open so many files more than it has open now."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The lowest numbers are given first, and the limit is one of numbers, not of files.
    placeholders = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    highest = max([*placeholders, *(int(each) for each in os.listdir("/proc/self/fd"))])
    padding = []
    while (next_one := os.open(os.devnull, os.O_RDONLY)) < highest:
        padding.append(next_one)
    for each in (*placeholders, next_one):
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in padding:
            os.close(each)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "sessions.db"
    manager_on(path).shutdown()
    return path


def test_a_store_that_may_open_no_file_says_so_whichever_file_it_is_and_leaves_none_open(database: Path) -> None:
    words = []
    for count in range(40):
        try:
            with only_files_left(count):
                manager = manager_on(database)
        except DatabaseUnavailableError as error:
            words.append(str(error))
            continue
        assert manager.shutdown()
        break
    assert len(words) > 5
    assert [each for each in words if not re.search(WORDS, each)] == []
    assert descriptors_in(database.parent) == []
    assert manager_on(database).shutdown()


def test_an_open_store_goes_on_where_no_more_files_may_be_opened(database: Path) -> None:
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="before")
        assert manager.get_session("before") is not None
        with only_files_left(0):
            manager.create_session(request(), session_id="meanwhile")
            assert manager.get_session("before") is not None
            for copy in (manager.backup, manager.snapshot, lambda path: manager.check()):
                with pytest.raises(DatabaseUnavailableError, match=WORDS):
                    copy(database.with_name("copy.db"))
        manager.backup(database.with_name("copy.db"))
        assert manager.get_session("meanwhile") is not None
