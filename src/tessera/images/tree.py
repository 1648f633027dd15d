# SPDX-License-Identifier: Apache-2.0
"""The files of an image, after layer upon layer, without any of them being unpacked.

Unpacking layers on the host is where container tools have been broken again and again: a link in one layer
leads the files of the next out of the folder. Here layers are laid over each other in memory, as names and
headers only. A path is followed in this tree, whose root has no outside; the result is written as one tar
archive that goes to mksquashfs through a pipe. So no name from an image ever names a file of the host, no
privileges are needed, and owners and modes survive. What it costs is that every layer is read twice: once for its
headers (and its digest), once for the contents of the files that are left.

The rules are OCI's: a later layer's file replaces an earlier one's, folders merge, `.wh.NAME` removes NAME
as earlier layers left it, and `.wh..wh..opq` all that they left in its folder.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tessera.images.limits import MAX_ENTRIES, MAX_IDS, MAX_NAME, MAX_PATH
from tessera.model.errors import ImageDamaged, ImageHostile, ImageTooLarge

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_OTHER_MARKS = ".wh..wh."  # of aufs; they mean nothing here
_MAX_LINKS = 40  # as Linux follows
_MODE = 0o7777
_LATEST = (1 << 32) - 1  # seconds since 1970: what squashfs can hold
_LAST_ID = (1 << 32) - 2  # of users and groups, as Linux has them


class Kind(Enum):
    FOLDER = "folder"
    FILE = "file"
    LINK = "link"


@dataclass(eq=False, slots=True)
class Node:
    """A file, and the layer that wrote it last. Files that are hard links of each other are one node."""

    kind: Kind
    mode: int
    time: int
    layer: int
    owner: int = 0
    group: int = 0
    target: str = ""
    size: int = 0
    children: dict[str, Node] = field(default_factory=dict)


def _folder_node(layer: int) -> Node:
    """A folder that no layer describes: root's, as every tool makes it."""
    return Node(Kind.FOLDER, 0o755, 0, layer)


class Tree:
    """All files of an image so far."""

    def __init__(self) -> None:
        self.root = _folder_node(0)
        self._entries = 0
        self._ids = {0}

    def apply(self, member: tarfile.TarInfo, layer: int) -> Node | None:
        """Lays one member of the layer over what is there. The node of a file whose content follows.

        Raises ImageHostile, ImageDamaged, ImageTooLarge.
        """
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ImageTooLarge(
                f"The image has more than {MAX_ENTRIES} files.",
                "Put data that is not part of the program beside the image: tessera run --mount.",
            )
        parts = _parts(member.name)
        if not parts:
            return None  # the root itself, which is as it always is
        folder = self._folder(parts[:-1], layer)
        name = parts[-1]
        if name.startswith(WHITEOUT):
            _white_out(folder, name, layer)
            return None
        return self._place(folder, name, member, layer)

    def _place(self, folder: Node, name: str, member: tarfile.TarInfo, layer: int) -> Node | None:
        owner, group = self._id(member.uid), self._id(member.gid)
        facts = (_mode(member), _time(member), layer, owner, group)
        if member.isdir():
            there = folder.children.get(name)
            node = Node(Kind.FOLDER, *facts)
            if there is not None and there.kind is Kind.FOLDER:
                node.children = there.children
            folder.children[name] = node
        elif member.isreg() and member.size >= 0:
            node = Node(Kind.FILE, *facts, size=member.size)
            folder.children[name] = node
            return node
        elif member.issym():
            target = _link_target(member.linkname)
            folder.children[name] = Node(Kind.LINK, *facts, target)
        elif member.islnk():
            folder.children[name] = self._linked(member.linkname)
        else:
            raise ImageHostile(
                f"The image holds {_shown(member.name)}, a device node, pipe or the like.",
                "Build it without: sandboxes and virtual machines have a /dev of their own.",
            )
        return None

    def _id(self, number: int) -> int:
        """The number of a user or group. Raises ImageHostile, ImageTooLarge."""
        if not 0 <= number <= _LAST_ID:
            raise ImageHostile(
                f"The image holds a file of the user or group {number}, which nobody can be.",
                "Do not use it. If you made it yourself, build it with another tool.",
            )
        self._ids.add(number)
        if len(self._ids) > MAX_IDS:
            raise ImageTooLarge(
                f"The files of the image belong to more than {MAX_IDS} users and groups.",
                "Build it again with files of those users only that its programs need.",
            )
        return number

    def _linked(self, target: str) -> Node:
        """The node that a hard link shares."""
        parts = _parts(target)
        folder = self._existing(parts[:-1]) if parts else None
        node = folder.children.get(parts[-1]) if folder else None
        if node is None or node.kind is Kind.FOLDER:
            raise ImageDamaged(
                f"The image has a hard link to {_shown(target)}, which is no file of it.",
                "Get the image again, or ask who made it.",
            )
        return node

    def _existing(self, parts: list[str]) -> Node | None:
        try:
            return self._walk(parts, None)
        except ImageDamaged:
            return None

    def _folder(self, parts: list[str], layer: int) -> Node:
        """The folder at a path, made where it is missing. Raises ImageDamaged, ImageHostile."""
        return self._walk(parts, layer)

    def _walk(self, parts: list[str], making: int | None) -> Node:
        """Follows a path from the root, through symbolic links, as a program inside would.

        `making` is the layer that makes missing folders; None: they are an error.
        """
        way = [self.root]
        left = list(reversed(parts))
        links = 0
        while left:
            name = left.pop()
            if name == "..":
                way = way[:-1] or way
                continue
            node = way[-1].children.get(name)
            if node is None and making is not None:
                node = way[-1].children[name] = _folder_node(making)
            if node is not None and node.kind is Kind.LINK:
                links += 1
                if links > _MAX_LINKS:
                    raise ImageHostile(
                        f"The image's symbolic links lead in a circle at {_shown(name)}.",
                        "Do not use it. If you made it yourself, remove that link.",
                    )
                way = [self.root] if node.target.startswith("/") else way
                left += reversed([part for part in node.target.split("/") if part not in ("", ".")])
                continue
            if node is None or node.kind is not Kind.FOLDER:
                raise ImageDamaged(
                    f"The image has files below {_shown(name)}, which is no folder.",
                    "Get the image again, or ask who made it.",
                )
            if making is not None:
                node.layer = making
            way.append(node)
        return way[-1]

    @property
    def newest(self) -> int:
        """The time of the file that was changed last, in seconds since 1970; 0 without files."""
        return max((node.time for _, node in self.walk()), default=0)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every path with its node, folders before what they hold, in the order of names."""
        waiting = [("", self.root)]
        while waiting:
            path, node = waiting.pop()
            if path:
                yield path, node
            for name in sorted(node.children, reverse=True):
                waiting.append((f"{path}/{name}" if path else name, node.children[name]))


def _white_out(folder: Node, name: str, layer: int) -> None:
    if name == OPAQUE:
        _forget_earlier(folder, layer)
        return
    if name.startswith(_OTHER_MARKS):
        return
    hidden = name.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise ImageHostile(
            f"The image removes '{hidden}', which is no file.", "Do not use it, or build it again."
        )
    node = folder.children.get(hidden)
    if node is None:
        return
    if node.layer < layer:
        del folder.children[hidden]
    else:
        _forget_earlier(node, layer)


def _forget_earlier(folder: Node, layer: int) -> None:
    """Removes what layers before `layer` left in a folder, however deep."""
    waiting = [folder]
    while waiting:
        node = waiting.pop()
        for name, child in list(node.children.items()):
            if child.layer < layer:
                del node.children[name]
            elif child.kind is Kind.FOLDER:
                waiting.append(child)


def _parts(name: str) -> list[str]:
    """The components of a path. Raises ImageHostile for one that could lead outside."""
    if len(_encoded(name)) > MAX_PATH:
        raise ImageHostile(
            f"The image holds a path of more than {MAX_PATH} bytes: {_shown(name)}...",
            "Do not use it, or build it again with shorter paths.",
        )
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for part in parts:
        if part == ".." or "\0" in part or len(_encoded(part)) > MAX_NAME:
            raise ImageHostile(
                f"The image holds a path that leads outside of it, or nowhere: {_shown(name)}.",
                "Do not use it. If you made it yourself, build it with another tool.",
            )
    return parts


def _link_target(target: str) -> str:
    if not 0 < len(_encoded(target)) <= MAX_PATH or "\0" in target:
        raise ImageHostile(
            "The image holds a symbolic link that leads nowhere.",
            "Do not use it. If you made it yourself, build it with another tool.",
        )
    return target


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _shown(text: str) -> str:
    return repr(text[:100])


def _mode(member: tarfile.TarInfo) -> int:
    return member.mode & _MODE


def _time(member: tarfile.TarInfo) -> int:
    return min(max(0, int(member.mtime)), _LATEST)
