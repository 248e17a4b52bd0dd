"""The stores that faults are brought about in, and the process that their children are forked from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from sessionstore.persistence.migrations import scripts_folder
from tests.faults.disk.child import attempt, leave_a_wal
from tests.faults.disk.deeds import STORE, furnish
from tests.faults.injection.zygote import Zygote
from tests.migrations.past import put_the_past


@pytest.fixture(scope="session")
def zygote(shim_library: Path) -> Iterator[Zygote]:
    with Zygote(shim_library, attempt.__module__) as zygote:
        yield zygote


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> dict[str, Path]:
    """Folders to begin with, by the deed; "" for all others."""
    folder = tmp_path_factory.mktemp("templates")
    furnished, crashed, old, nothing = (folder / name for name in ("furnished", "crashed", "old", "nothing"))
    for each in (furnished, old, nothing):
        each.mkdir()
    furnish(furnished)
    shutil.copytree(furnished, crashed)
    with zygote.start(leave_a_wal, crashed) as child:
        child.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSIONSTORE_DATABASE_URL", f"sqlite:///{old / STORE}")
        config = Config()
        config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
        command.upgrade(config, "0004")
    put_the_past(old / STORE)
    return {"": furnished, "open after a crash": crashed, "migrate": old, "make": nothing}
