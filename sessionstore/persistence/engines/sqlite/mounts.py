"""What kind of file system a path is on, as Linux tells it."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

# Several machines write to these, of which each has a memory of its own.
_OF_SEVERAL_MACHINES = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"}
    | {"pvfs2", "orangefs", "ocfs2", "gfs", "gfs2"}
)
# Provided by the host of a virtual machine, or by a program.
_OF_ANOTHER_SIDE = frozenset({"9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs", "fuse", "fuseblk"})
# In front of what the program is: fuse.sshfs, fuse.glusterfs, fuse.rclone.
_FUSE = "fuse."
_FUSE_OF_SEVERAL_MACHINES = frozenset({"sshfs", "glusterfs", "ceph", "rclone", "s3fs", "gcsfuse", "juicefs"})


def file_system_of(path: Path, mountinfo: str) -> str | None:
    """Its type, by the lines of /proc/self/mountinfo; None when no line is for it."""
    found, longest = None, -1
    for line in mountinfo.splitlines():
        fields, separator, rest = line.partition(" - ")
        mount_point = Path(_unescaped(fields.split()[4])) if separator else None
        # A later mount on the same point hides the earlier one.
        if mount_point and path.is_relative_to(mount_point) and len(mount_point.parts) >= longest:
            found, longest = rest.split()[0], len(mount_point.parts)
    return found


def is_of_several_machines(kind: str) -> bool:
    program = kind.removeprefix(_FUSE) if kind.startswith(_FUSE) else ""
    return kind in _OF_SEVERAL_MACHINES or program in _FUSE_OF_SEVERAL_MACHINES


def is_shared(kind: str) -> bool:
    """Whether locks and shared memory may not work among all who can open a file there."""
    return is_of_several_machines(kind) or kind in _OF_ANOTHER_SIDE or kind.startswith(_FUSE)


def _unescaped(field: str) -> str:
    """Spaces and such stand there as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
