"""Files of a folder on the host into a new folder here: small ones by tar, large ones by ranges.

Only plain files are ever asked for. What came is whole by its size; whether nobody wrote to it
meanwhile is for the caller to find out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nasexp.archives.tree import Tree
from nasexp.connections.bulk.large import LargeFile, NotFetchedError, states_of
from nasexp.connections.bulk.small import SmallFiles
from nasexp.connections.bulk.tools import GNU_TAR, PYTHON, TAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nasexp.connections.bulk.link import Link

LARGE_BYTES = 32 << 20

# What one stream of small files is asked for: names go as words of a program, and a command line
# holds fewer of them than a pipe.
STREAM_NAME_BYTES = 2 << 20
COMMAND_LINE_BYTES = 100_000


class FileFacts(Protocol):
    """What a manifest says of a file."""

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...

    @property
    def is_sparse(self) -> bool:
        """Whether much less of it is on the disk than it has bytes."""
        ...

    @property
    def version(self) -> bytes:
        """Another one for every change."""
        ...


@dataclass
class Downloaded:
    """What came, and what did not.

    Attributes:
        digests: sha256 by path, of all that came.
        unreadable: paths of files that the account on the host may not read.
        changed: paths of files that are gone or have another size by now.
    """

    digests: dict[bytes, str] = field(default_factory=dict)
    unreadable: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)


class Download:
    """Copies of files from one folder of the host.

    Args:
        link: to the host.
        folder: on the host, absolute.
        into: a folder here that is this download's own; what an earlier one of the same boot
            has left in it of large files is used.
        files: all that will be fetched.

    Attributes:
        tree: the folder, below `into`, that the files of one `fetch` lie in.
    """

    def __init__(
        self, link: Link, folder: str, into: Path, files: Mapping[bytes, FileFacts]
    ) -> None:
        self._link = link
        self._folder = folder
        self._parts = into / "parts"
        self._files = files
        self._total_bytes = sum(facts.size_bytes for facts in files.values())
        self._done_bytes = 0
        self.tree = into / "tree"
        self._prepare()

    def fetch(self, paths: Iterable[bytes]) -> Downloaded:
        """Fetch some of the files into `tree`, which is made anew.

        Raises:
            StageError: the disk here is full, or the host cannot send.
            ConnectionLost: there was no progress for as long as the link's patience lasts.
        """
        shutil.rmtree(self.tree, ignore_errors=True)
        tree = Tree(self.tree, digests=True)
        found = Downloaded()
        files = {path: self._files[path] for path in paths}
        small = {path: facts.size_bytes for path, facts in files.items() if self._is_small(facts)}
        missed = self._fetch_small(tree, small)
        self._blame({path: small[path] for path in missed}, found)
        for path in files.keys() - small.keys():
            self._fetch_large(tree, path, files[path], found)
        found.digests = {os.fsencode(path): digest for path, digest in tree.digests.items()}
        return found

    def _prepare(self) -> None:
        """Make the folders; remove parts of versions that nobody wants any more."""
        self._parts.mkdir(parents=True, exist_ok=True)
        left = [part for part in self._parts.iterdir() if part.is_file()]
        wanted = {_key(path, facts) for path, facts in self._files.items()} if left else set()
        for part in left:
            if part.name not in wanted:
                part.unlink()

    def _is_small(self, facts: FileFacts) -> bool:
        if self._link.tools().isdisjoint({TAR, PYTHON}):
            return False
        return facts.size_bytes <= LARGE_BYTES and not facts.is_sparse

    def _fetch_small(self, tree: Tree, sizes: Mapping[bytes, int]) -> list[bytes]:
        files = SmallFiles(self._link, self._folder, tree, self._progress)
        takes_pipe = TAR not in self._link.tools() or GNU_TAR in self._link.tools()
        most = STREAM_NAME_BYTES if takes_pipe else COMMAND_LINE_BYTES
        missed: list[bytes] = []
        for names in batches(sizes, most):
            missed += files.fetch({path: sizes[path] for path in names})
        return missed

    def _fetch_large(self, tree: Tree, path: bytes, facts: FileFacts, found: Downloaded) -> None:
        part = str(self._parts / _key(path, facts))
        copy = LargeFile(
            self._link,
            self._folder,
            path,
            facts.size_bytes,
            is_sparse=facts.is_sparse,
            into=part,
            progress=self._progress,
        )
        try:
            digest = copy.fetch()
        except NotFetchedError as error:
            os.unlink(part)  # noqa: PTH108 - what changed is of no use
            (found.unreadable if str(error) == "unreadable" else found.changed).append(path)
        else:
            tree.adopt(os.fsdecode(path), part, digest)

    def _blame(self, sizes: Mapping[bytes, int], found: Downloaded) -> None:
        """Sort files that did not come: they changed meanwhile, or they cannot be read."""
        for names in batches(sizes):
            states = self._link.keep_trying(partial(states_of, self._link, self._folder, names))
            for path, state in zip(names, states, strict=True):
                is_there = state in ("unreadable", str(sizes[path]))
                (found.unreadable if is_there else found.changed).append(path)

    def _progress(self, count: int) -> None:
        self._done_bytes += count
        self._link.monitor.progress(min(self._done_bytes, self._total_bytes), self._total_bytes)


def batches(paths: Iterable[bytes], most_bytes: int = COMMAND_LINE_BYTES) -> Iterable[list[bytes]]:
    """Split paths into lists of so many bytes."""
    batch: list[bytes] = []
    size = 0
    for path in paths:
        if batch and size + len(path) > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += len(path) + 8
    if batch:
        yield batch


def _key(path: bytes, facts: FileFacts) -> str:
    """Return a name for the part of this very version of a file, for as long as this boot lasts.

    After a power cut a file may have its size and not its bytes.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = [path, facts.version, boot.read_bytes() if boot.exists() else os.urandom(16)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
