# SPDX-License-Identifier: Apache-2.0
"""Archives that the Linux kernel unpacks into its first file system ("newc" cpio)."""

from __future__ import annotations

import stat
from collections.abc import Mapping

_END = "TRAILER!!!"


def archive(files: Mapping[str, bytes]) -> bytes:
    """Executable files, by path without a leading slash; the folders above them are made, too.

    All belong to root and have no time, so the same files are the same bytes.
    """
    parts = [_folder(path) for path in _folders(files)]
    parts += [_entry(path, stat.S_IFREG | 0o755, content) for path, content in files.items()]
    return b"".join([*parts, _entry(_END, 0, b"")])


def _folders(files: Mapping[str, bytes]) -> list[str]:
    found: set[str] = set()
    for path in files:
        words = path.split("/")[:-1]
        found.update("/".join(words[: count + 1]) for count in range(len(words)))
    return sorted(found)


def _folder(path: str) -> bytes:
    return _entry(path, stat.S_IFDIR | 0o755, b"")


def _entry(path: str, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, device (2), device of a node (2), name's size, check
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(head + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
