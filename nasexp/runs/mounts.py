"""Whether a folder lies on another machine: then this one is a thin client, not the NAS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
NETWORK_KINDS = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs",
        "fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "davfs", "fuse.davfs", "virtiofs",
    }
)  # fmt: skip
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system as the kernel has it: what it comes from, where it is seen, its kind."""

    source: str
    folder: str
    kind: str


def network_mount(folder: Path, mounts: Path = MOUNTS) -> Mount | None:
    """Return the network mount that a folder lies on; None where it lies on this machine."""
    here = f"{folder.resolve()}/"
    found = [mount for mount in _read(mounts) if here.startswith(mount.folder.rstrip("/") + "/")]
    # The last of the longest: what was mounted later hides what was there before.
    nearest = max(enumerate(found), key=lambda pair: (len(pair[1].folder), pair[0]), default=None)
    return nearest[1] if nearest and nearest[1].kind in NETWORK_KINDS else None


def _read(mounts: Path) -> list[Mount]:
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    fields = [line.split(" ") for line in lines]
    return [Mount(*map(_unescaped, words[:3])) for words in fields if len(words) >= 3]


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
