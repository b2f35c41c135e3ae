"""Keys of hosts: the known_hosts files, fingerprints, and what the workspace trusts.

The format is sshd(8)'s: markers, hashed names, patterns. A key is trusted when some file has it
for the host's name; a revoked key is refused wherever else it stands.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from nasexp.runs.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nasexp.connections.settings import Login

KNOWN_HOSTS_NAME = "known_hosts"
_HASHED = "|1|"
_CERTIFICATE_MARKER, _REVOKED_MARKER = "@cert-authority", "@revoked"


@dataclass(frozen=True, slots=True)
class HostKey:
    """The public key of a host: its type (`ssh-ed25519`) and its bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh shows it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    def line(self, name: str) -> str:
        """Return the line of a known_hosts file."""
        return f"{name} {self.kind} {base64.b64encode(self.blob).decode()}"

    @classmethod
    def parse(cls, kind: str, text: str) -> HostKey:
        """Read a key as it stands in a file; raises ValueError."""
        try:
            return cls(kind, base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise ValueError(f"{kind} {text[:20]!r} is no key") from error


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file."""

    place: str
    names: str
    key: HostKey
    marker: str = ""

    def speaks_of(self, name: str) -> bool:
        """Whether the line means this host."""
        if self.names.startswith(_HASHED):
            return _hash_fits(self.names, name)
        patterns = self.names.lower().split(",")
        if any(fnmatchcase(name.lower(), p[1:]) for p in patterns if p.startswith("!")):
            return False
        return any(_pattern_fits(name.lower(), pattern) for pattern in patterns)


def read_known_hosts(files: Iterable[str | Path]) -> list[Entry]:
    """Return the lines of some files that can be read, in order; what is no line is left out."""
    found = []
    for file in files:
        try:
            lines = Path(file).read_text(errors="replace").splitlines()
        except OSError:
            continue
        for number, line in enumerate(lines, start=1):
            if entry := _read_line(f"{file}:{number}", line):
                found.append(entry)
    return found


def trusted_keys(login: Login) -> list[Entry]:
    """Return the lines that trust a key of this host; keys that are revoked are not among them."""
    entries = read_known_hosts(login.known_hosts)
    fitting = [entry for entry in entries if entry.speaks_of(login.name_in_known_hosts)]
    revoked = {entry.key for entry in fitting if entry.marker == _REVOKED_MARKER}
    return [entry for entry in fitting if not entry.marker and entry.key not in revoked]


def store_keys(file: Path, name: str, keys: Sequence[HostKey]) -> None:
    """Trust these keys for a name; older keys of those kinds for it are forgotten.

    Raises:
        StageError: the file cannot be written.
    """
    kinds = {key.kind for key in keys}
    lines = file.read_text(errors="surrogateescape").splitlines() if file.exists() else []
    kept = [line for line in lines if not _replaced(line, name, kinds)]
    text = "\n".join([*kept, *(key.line(name) for key in keys), ""])
    write_whole(file, text.encode(errors="surrogateescape"))


def _replaced(line: str, name: str, kinds: set[str]) -> bool:
    entry = _read_line("", line)
    return bool(entry and not entry.marker and entry.names == name and entry.key.kind in kinds)


def _read_line(place: str, line: str) -> Entry | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#") or marker == _CERTIFICATE_MARKER:
        return None
    try:
        return Entry(place, words[0], HostKey.parse(words[1], words[2]), marker)
    except ValueError:
        return None


def _pattern_fits(name: str, pattern: str) -> bool:
    # `[host]:22` holds brackets that fnmatch would take for a set of characters.
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _hash_fits(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.removeprefix(_HASHED).split("|"))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
