"""What is installed: a wheel that works alone and far from the checkout, and the other ways to have the package."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parent.parent
# An installation fetches packages; on a slow line that takes longer than any other test.
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("packaging")]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """The output of a command that must succeed, in an environment that shows nothing of this one's Python."""
    shown = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=shown | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def build(kind: str, into: Path, source: Path = CHECKOUT) -> Path:
    """Builds a `wheel` or an `sdist` with the backend of pyproject.toml."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into, cwd=source)
    (built,) = (path for path in into.iterdir() if path.is_file() and path.suffix in {".whl", ".gz"})
    return built


def make_environment(folder: Path) -> Path:
    """An environment with nothing in it; returns its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    """With uv where it is to be had, else with the pip of the running interpreter."""
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", python] if uv else _pip_for(python)
    run(*installer, "--quiet", *what, cwd=python.parent)


def _pip_for(python: Path) -> list[str | Path]:
    return [sys.executable, "-m", "pip", "--python", python, "install"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python_with_wheel(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The interpreter of an environment that holds the wheel, what it requires, and nothing else."""
    python = make_environment(tmp_path_factory.mktemp("installed") / "an environment")
    install(python, wheel)
    return python


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_its_migrations_and_the_mark_that_it_is_typed(wheel: Path) -> None:
    modules = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "sessionstore").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    scripts = {
        f"sessionstore/_migrations/{path.relative_to(CHECKOUT / 'migrations').as_posix()}"
        for path in (CHECKOUT / "migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names_in(wheel) == modules | scripts
    assert "sessionstore/py.typed" in modules
    assert "sessionstore/_migrations/versions/0001_create_sessions.py" in scripts


def test_a_wheel_made_from_the_source_distribution_holds_the_same(wheel: Path, tmp_path: Path) -> None:
    archive = build("sdist", tmp_path / "sdist")
    # Python 3.11 has the filter from 3.11.4 on, and 3.14 warns without it.
    safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    shutil.unpack_archive(archive, tmp_path / "unpacked", **safely)
    (source,) = (tmp_path / "unpacked").iterdir()
    assert names_in(build("wheel", tmp_path / "wheel", source)) == names_in(wheel)


USE = """
import json, pathlib, sys
import sessionstore
from sessionstore.persistence.migrations import scripts_folder

with sessionstore.SessionManager(database_url="sqlite:///sessions.db") as manager:
    session_id = manager.create_session({"story_text": "A lamp."})
with sessionstore.SessionManager(database_url="sqlite:///sessions.db", auto_migrate=False) as manager:
    story = manager.get_session(session_id).request_data.story_text
    well = all(finding.severity != "error" for finding in manager.check())
print(json.dumps([sessionstore.__file__, str(scripts_folder()), story, well, sys.prefix]))
"""


def test_the_wheel_alone_makes_writes_and_reopens_a_database(python_with_wheel: Path, tmp_path: Path) -> None:
    package, scripts, story, is_well, prefix = json.loads(run(python_with_wheel, "-c", USE, cwd=tmp_path))
    environment = python_with_wheel.parent.parent
    assert Path(prefix) == environment
    assert Path(package).is_relative_to(environment)
    assert Path(scripts) == Path(package).parent / "_migrations"
    assert (story, is_well) == ("A lamp.", True)


def test_an_installation_without_its_migrations_says_so(python_with_wheel: Path, tmp_path: Path) -> None:
    installed = Path(
        run(python_with_wheel, "-c", "import sessionstore; print(sessionstore.__path__[0])", cwd=tmp_path)[:-1]
    )
    shutil.copytree(installed, tmp_path / "sessionstore", ignore=shutil.ignore_patterns("_migrations"))
    ask = (
        "from sessionstore.persistence.migrations import scripts_folder\n"
        "try: scripts_folder()\nexcept FileNotFoundError as error: print(error)"
    )
    assert "install sessionstore again" in run(python_with_wheel, "-c", ask, cwd=tmp_path)


def test_importing_the_package_loads_no_sqlalchemy_and_opens_no_database(
    python_with_wheel: Path, tmp_path: Path
) -> None:
    look = (
        "import os, sys, sessionstore; print({'sqlalchemy', 'alembic', 'sqlite3'} & sys.modules.keys(), os.listdir())"
    )
    assert run(python_with_wheel, "-c", look, cwd=tmp_path) == "set() []\n"


def test_the_managers_own_instance_opens_its_database_on_first_use_only(
    python_with_wheel: Path, tmp_path: Path
) -> None:
    look = (
        "import os; from sessionstore import session_manager; print(os.listdir());"
        "print(session_manager.get_session_count()); print(sorted(os.listdir())[0])"
    )
    assert run(python_with_wheel, "-c", look, cwd=tmp_path).splitlines() == ["[]", "0", "sessionstore.db"]
    assert [path.name for path in tmp_path.iterdir()] == ["sessionstore.db"]


def test_every_public_name_can_be_imported(python_with_wheel: Path, tmp_path: Path) -> None:
    look = "import sessionstore; print(all(hasattr(sessionstore, name) for name in sessionstore.__all__))"
    assert run(python_with_wheel, "-c", look, cwd=tmp_path) == "True\n"


def test_the_command_line_without_its_extra_says_which_one_in_a_line_and_ends_with_3(
    python_with_wheel: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [python_with_wheel.with_name("sessionstore"), "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "sessionstore[cli]" in line


def test_a_checkout_finds_the_scripts_beside_the_package(tmp_path: Path) -> None:
    answer = json.loads(run(sys.executable, "-c", USE, cwd=tmp_path, PYTHONPATH=str(CHECKOUT)))
    assert answer[:3] == [str(CHECKOUT / "sessionstore" / "__init__.py"), str(CHECKOUT / "migrations"), "A lamp."]


def test_an_editable_install_finds_the_scripts_beside_the_package(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "environment")
    install(python, "--no-deps", "--editable", CHECKOUT)
    # What the package requires comes from the running environment, to fetch nothing twice.
    site_packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)[:-1])
    required = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "zz_required.pth").write_text("\n".join(required))
    (tmp_path / "elsewhere").mkdir()
    answer = json.loads(run(python, "-c", USE, cwd=tmp_path / "elsewhere"))
    assert answer[:3] == [str(CHECKOUT / "sessionstore" / "__init__.py"), str(CHECKOUT / "migrations"), "A lamp."]
    assert answer[4] == str(tmp_path / "environment")
