"""Whether a symbolic link stays inside the tree that is packed or unpacked with it."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The number of links that Linux follows in one path before it says ELOOP.
MOST_HOPS = 40


def link_fault(path: str, links: Mapping[str, str], tree: str) -> str | None:
    """Say what is wrong with the link at `path`, or None when it stays inside.

    It has to stay inside read as text (`..` takes a name away) and followed as the kernel does
    through the other links of the same tree: either alone can be tricked. Nothing is asked of
    the file system, so nothing can change between this check and the use.

    Args:
        path: of the link, relative to the tree.
        links: the target of each link of the tree, by its path.
        tree: what the tree is called in the answer.
    """
    target = links[path]
    if target.startswith("/"):
        return "has an absolute target"
    if _climbs_out(posixpath.join(posixpath.dirname(path), target)):
        return f"leaves {tree}"
    return _fault_on_the_way(path, links, tree)


def _climbs_out(path: str) -> bool:
    plain = posixpath.normpath(path)
    return plain == ".." or plain.startswith("../")


def _fault_on_the_way(path: str, links: Mapping[str, str], tree: str) -> str | None:
    here: list[str] = []
    ahead = path.split("/")[::-1]
    hops = 0
    while ahead:
        if not _step(here, ahead.pop()):
            return f"leaves {tree}"
        target = links.get("/".join(here))
        if target is None:
            continue
        hops += 1
        if hops > MOST_HOPS:
            return "leads in a circle"
        if target.startswith("/"):
            return f"leaves {tree}"
        here.pop()
        ahead += target.split("/")[::-1]
    return None


def _step(here: list[str], part: str) -> bool:
    """Take one step of a path in place; False where it would leave the tree."""
    if part == "..":
        return bool(here) and bool(here.pop())
    if part not in {"", "."}:
        here.append(part)
    return True
