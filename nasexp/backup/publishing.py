"""Files that came home take their place in `output/`: by a rename, so it holds whole ones only."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from nasexp.runs.files import from_system

if TYPE_CHECKING:
    from nasexp.runs.paths import RunPaths


class Publisher:
    """Puts files into one run's output folder; what stood in the way is kept aside."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._output = os.fsencode(paths.output)
        # Never asked about: the run's own folder.
        self._known = {os.fsencode(paths.folder)}
        self._folders = set(self._known)

    def take_file(self, source: bytes, path: bytes, mtime_ns: int) -> None:
        """Move a whole file to its place, with its time. Raises StageError."""
        try:
            os.utime(source, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
            self._move(source, path)
        except OSError as error:
            raise from_system(error, self._paths.output) from error

    def make_link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link, or put it in the place of another. Raises StageError."""
        new = os.fsencode(self._paths.incoming) + b"/link"
        try:
            with suppress(FileNotFoundError):
                os.unlink(new)  # noqa: PTH108
            os.symlink(target, new)  # noqa: PTH211
            self._move(new, path)
        except OSError as error:
            raise from_system(error, self._paths.output) from error

    def _move(self, source: bytes, path: bytes) -> None:
        """Rename; the folders above are made, what came home under their names is kept aside."""
        target = self._output + b"/" + path
        self._make_folder(target.rpartition(b"/")[0])
        try:
            os.rename(source, target)  # noqa: PTH104
        except IsADirectoryError:
            _put_aside(target)
            self._folders = set(self._known)
            os.rename(source, target)  # noqa: PTH104

    def _make_folder(self, folder: bytes) -> None:
        if folder in self._folders:
            return
        self._make_folder(folder.rpartition(b"/")[0])
        if os.path.islink(folder) or os.path.isfile(folder):  # noqa: PTH113,PTH114
            _put_aside(folder)
        with suppress(FileExistsError):
            os.mkdir(folder)  # noqa: PTH102
        self._folders.add(folder)


def _put_aside(path: bytes) -> None:
    number = 1
    while os.path.lexists(aside := b"%s.old-%d" % (path, number)):
        number += 1
    os.rename(path, aside)  # noqa: PTH104
