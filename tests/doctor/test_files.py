"""Where the files are and who may use them: file system, modes, owner, folder, space, leftovers."""

import logging
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite.doctor import places
from sessionstore.persistence.engines.sqlite.doctor.places import MEGABYTE, _room
from sessionstore.persistence.engines.sqlite.file import APPLICATION_ID
from sessionstore.persistence.engines.sqlite.mounts import file_system_of, is_of_several_machines, is_shared
from tests.conftest import OpenManager
from tests.doctor.findings import found, repaired

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:40 / /home rw,relatime shared:5 master:1 - nfs4 server:/export/home rw,vers=4.2
41 40 0:41 / /home/her\040files rw - cifs //server/share rw
42 22 0:42 / /work rw - 9p host rw
43 42 0:43 / /work rw - virtiofs host rw
44 22 0:44 / /remote rw - fuse.sshfs me@there: rw
45 22 0:45 / /vault rw - fuse.gocryptfs /there rw
46 22 0:46 / /container rw - overlay overlay rw,lowerdir=/a
47 22 0:47 / /homework rw - xfs /dev/vdb rw
"""
DEAD_PID = 2**22 + 1  # Beyond the largest number that Linux gives.


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/app/s.db", "ext4"),
        ("/home/me/s.db", "nfs4"),
        ("/home/her files/s.db", "cifs"),
        ("/homework/s.db", "xfs"),
        ("/work/s.db", "virtiofs"),
        ("/remote/s.db", "fuse.sshfs"),
        ("/vault/s.db", "fuse.gocryptfs"),
        ("/container/s.db", "overlay"),
    ],
)
def test_the_kind_of_a_file_system_is_that_of_the_innermost_and_latest_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_what_several_machines_share_and_what_another_side_provides_are_told_apart() -> None:
    kinds = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "fuse.sshfs",
        "9p",
        "virtiofs",
        "fuse.gocryptfs",
        "ext4",
        "tmpfs",
        "overlay",
    ]

    assert [kind for kind in kinds if is_of_several_machines(kind)] == kinds[:5]
    assert [kind for kind in kinds if is_shared(kind)] == kinds[:8]


@pytest.mark.parametrize(("mount", "severity"), [("nfs4", "error"), ("virtiofs", "warning"), ("xfs", "ok")])
def test_a_store_on_a_shared_file_system_is_told_of_at_each_opening_and_each_check(
    mount: str,
    severity: str,
    open_manager: OpenManager,
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:40 / {database.parent} rw - {mount} there rw\n")
    monkeypatch.setattr(places, "MOUNTS", mounts)

    with caplog.at_level(logging.WARNING):
        manager = open_manager()

    assert (mount in caplog.text) == (severity != "ok")
    assert found(manager, "file_system").severity == severity
    assert mount in found(manager, "file_system").message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has this file system in memory")
def test_the_file_system_of_this_very_machine_is_told(open_manager: OpenManager, tmp_path: Path) -> None:
    memory = Path("/dev/shm") / f"sessionstore-test-{os.getpid()}.db"
    try:
        manager = open_manager(database_url=f"sqlite:///{memory}")
        assert found(manager, "file_system").message == "the file is on tmpfs"
        manager.shutdown()
    finally:
        memory.unlink(missing_ok=True)


def test_files_that_others_may_use_are_found_and_closed_to_them(manager: SessionManager, database: Path) -> None:
    manager.create_session({"story_text": "A lamp."})
    files = [database, Path(f"{database}-wal"), Path(f"{database}-shm")]
    for file in files:
        file.chmod(0o644)

    finding = found(manager, "file_mode")
    assert finding.severity == "warning"
    assert all(f"{file.name} (0644)" in finding.message for file in files)
    assert "chmod 600" in str(finding.remedy)

    assert "0600 now" in repaired(manager)["file_mode"]
    assert [oct(file.stat().st_mode)[-3:] for file in files] == ["600"] * 3
    assert "others than the owner" not in found(manager, "file_mode").message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_is_found(manager: SessionManager, database: Path) -> None:
    os.chown(database, 12345, 12345)

    assert "belongs to user 12345" in found(manager, "file_mode").message


def test_a_folder_in_which_everybody_may_write_is_found(manager: SessionManager, database: Path) -> None:
    database.parent.chmod(0o777)

    finding = found(manager, "file_mode")

    assert (finding.severity, str(database.parent) in finding.message) == ("warning", True)


@pytest.mark.parametrize(
    ("free", "wal", "severity"),
    [
        (15, 0, "error"),
        (17, 0, "warning"),
        (63, 0, "warning"),
        (65, 0, "ok"),
        (90, 100, "error"),
        (150, 100, "warning"),
    ],
)
def test_room_is_little_when_a_checkpoint_and_some_writes_would_take_it(free: int, wal: int, severity: str) -> None:
    finding = _room(free * MEGABYTE, wal * MEGABYTE)

    assert finding.severity == severity
    assert f"{free} MB are free" in finding.message


@pytest.mark.parametrize(("size", "exit_code"), [("12m", 1), ("48m", 0), ("160m", 0)])
def test_a_small_disk_is_nearly_full(size: str, exit_code: int, tmp_path: Path) -> None:
    expected = {"12m": "error", "48m": "warning", "160m": "ok"}[size]
    folder = shlex.quote(str(tmp_path))
    mounted = f"mount -t tmpfs -o size={size} tmpfs {folder} && cd {folder} && "
    python = shlex.quote(sys.executable)
    commands = f"{python} -m sessionstore migrate && {python} -m sessionstore check; echo exit $?"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{mounted}{commands}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "exit" not in done.stdout:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()[:200]}")

    (line,) = [line for line in done.stdout.splitlines() if line.startswith("disk_space")]
    assert line.split("\t")[1] == expected
    assert f"exit {exit_code}" in done.stdout


def leave(folder: Path, name: str, content: bytes, age_seconds: float) -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (time.time() - age_seconds,) * 2)
    return path


def test_what_an_interrupted_copy_left_is_found_and_removed_and_nothing_else(
    manager: SessionManager, database: Path
) -> None:
    folder = database.parent
    ours = b"SQLite format 3\0" + bytes(52) + APPLICATION_ID.to_bytes(4) + bytes(100)
    gone = [
        leave(folder, f".copy.db.{DEAD_PID}.partial", ours, 7200),
        leave(folder, f".copy.db.{DEAD_PID}.partial-journal", b"x", 7200),
        leave(folder, f".other.db.{DEAD_PID}.partial", b"", 7200),
    ]
    kept = [
        leave(folder, f".live.db.{os.getpid()}.partial", ours, 7200),
        leave(folder, f".fresh.db.{DEAD_PID}.partial", ours, 60),
        leave(folder, f".foreign.{DEAD_PID}.partial", b"somebody else's " * 10, 7200),
        leave(folder, f"copy.db.{DEAD_PID}.partial", ours, 7200),
    ]

    finding = found(manager, "leftovers")
    assert (finding.severity, "3 files" in finding.message) == ("warning", True)

    assert repaired(manager).keys() == {"leftovers"}
    assert [path.exists() for path in gone] == [False] * 3
    assert all(path.exists() for path in kept)
    assert found(manager, "leftovers").severity == "ok"
