"""What kind of file system a folder is on, where the system tells."""

from pathlib import Path

MEMORY = {"tmpfs", "ramfs"}
# Behind them is another machine, or the host of a virtual one: locks and mapped memory may not reach that far.
SHARED = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs", "vboxsf", "virtiofs"}


def file_system(folder: Path) -> str:
    """For example "ext4 on /dev/sda1"; "unknown" where there is no /proc."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    deepest, found = -1, "unknown"
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        # Of mounts inside each other the innermost counts, and of several at one point the last.
        if folder.is_relative_to(point) and len(point.parts) >= deepest:
            kind, device = after.split()[:2]
            deepest, found = len(point.parts), f"{kind} on {device}"
    return found
